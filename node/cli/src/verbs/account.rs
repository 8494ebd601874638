//! Money: deposit, withdraw, balance; and sending transactions for other verbs.

use alloy::primitives::{Address, TxHash};
use outcry_sdk::api::{Amount, TokenInfo};
use outcry_sdk::{Client, Holdings, Step, units};
use serde::Serialize;

use crate::args;
use crate::console::{Console, Show, columns};
use crate::failure::Failure;
use crate::settings::Settings;

pub(crate) async fn deposit(
    args: &args::Deposit,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.buyer(console)?;
    let token = settings.token(client.network())?;
    let amount = units::parse(&args.amount, &token)?;
    client.chain().check().await?;
    let steps = client.chain().plan_deposit(&token, amount).await?;
    if !settings.global.dry_run {
        settings.confirm(
            &format!("Deposit {}?", units::show(amount, &token)),
            console,
        )?;
    }
    execute(&client, &steps, settings, console).await
}

pub(crate) async fn withdraw(
    args: &args::Withdraw,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.buyer(console)?;
    let token = settings.token(client.network())?;
    client.chain().check().await?;
    let step = match &args.amount {
        Some(amount) => {
            client
                .chain()
                .plan_withdrawal_request(&token, units::parse(amount, &token)?)
                .await?
        }
        None => client.chain().plan_withdrawal(&token).await?.0,
    };
    if !settings.global.dry_run {
        settings.confirm(&format!("{}?", step.what), console)?;
    }
    execute(&client, &[step], settings, console).await
}

pub(crate) async fn balance(
    args: &args::Balance,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let account = match args.address {
        Some(address) => address,
        None => settings.account(console)?,
    };
    let client = settings.reader()?;
    client.chain().check().await?;
    let mut holdings = Vec::new();
    let mut tokens = client.network().tokens.clone();
    if !tokens.iter().any(|token| token.address.is_zero()) {
        // Bonds are paid with it, whatever jobs are paid with.
        tokens.push(TokenInfo::coin());
    }
    for token in &tokens {
        holdings.push(client.chain().holdings(account, token).await?);
    }
    console.result(settings.format(), &Balances { account, holdings })?;
    Ok(0)
}

/// Sends transactions each of which needs those before it, or shows them in a dry run.
pub(crate) async fn execute(
    client: &Client,
    steps: &[Step],
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    send(client, steps, false, settings, console).await
}

/// Sends transactions none of which needs another, or shows them in a dry run: one that fails does not
/// keep the rest from being sent, and the first failure is what comes of it.
pub(crate) async fn execute_each(
    client: &Client,
    steps: &[Step],
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    send(client, steps, true, settings, console).await
}

async fn send(
    client: &Client,
    steps: &[Step],
    goes_on: bool,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    if settings.global.dry_run {
        console.result(
            settings.format(),
            &Planned {
                transactions: steps.to_vec(),
            },
        )?;
        return Ok(0);
    }
    let (mut sent, mut failed) = (Vec::new(), None);
    for step in steps {
        match client.chain().execute(step).await {
            Ok(transaction) => sent.push(Sent {
                what: step.what.clone(),
                transaction,
            }),
            Err(error) if goes_on => {
                let failure = Failure::from(error);
                console.note(&format!("{}: {}", step.what, failure.message));
                failed.get_or_insert(failure);
            }
            Err(error) => return Err(error.into()),
        }
    }
    console.result(settings.format(), &Receipt(sent))?;
    failed.map_or(Ok(0), Err)
}

/// Transactions that would be signed, for people.
pub(crate) fn planned(steps: &[Step]) -> String {
    steps
        .iter()
        .map(|step| {
            let value = if step.value == Amount::ZERO {
                String::new()
            } else {
                format!(" with {} wei", step.value)
            };
            format!(
                "would send to {}{value}: {}\n  {}\n",
                step.to, step.what, step.data
            )
        })
        .collect()
}

#[derive(Serialize)]
struct Planned {
    transactions: Vec<Step>,
}

impl Show for Planned {
    fn table(&self) -> String {
        planned(&self.transactions)
    }
}

#[derive(Serialize)]
struct Sent {
    what: String,
    transaction: TxHash,
}

#[derive(Serialize)]
struct Receipt(Vec<Sent>);

impl Show for Receipt {
    fn table(&self) -> String {
        self.0
            .iter()
            .map(|sent| format!("{}: {}\n", sent.what, sent.transaction))
            .collect()
    }
}

#[derive(Serialize)]
struct Balances {
    account: Address,
    holdings: Vec<Holdings>,
}

impl Show for Balances {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .holdings
            .iter()
            .map(|held| {
                let ready = match held.withdrawable_at {
                    0 => String::new(),
                    at => format!(" from {at}"),
                };
                [
                    held.token.symbol.clone(),
                    units::plain(held.wallet, &held.token),
                    units::plain(held.market, &held.token),
                    format!("{}{ready}", units::plain(held.withdrawing, &held.token)),
                ]
            })
            .collect();
        format!(
            "{}\n{}",
            self.account,
            columns(["TOKEN", "WALLET", "MARKET", "WITHDRAWING"], &rows)
        )
    }
}
