//! Signed orders of made-up accounts, and what a made-up chain says of these.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use anyhow::Context as _;
use futures::future::BoxFuture;
use outcry_daemon::admission::Views;
use outcry_daemon::chain::ChainProblem;
use outcry_protocol::book::{Fact, FactKey};
use outcry_protocol::hash::{Domain, job_hash};
use outcry_protocol::types::{Bid, JobSpec, Offer, Resources};
use outcry_protocol::wire::{SignedBid, SignedOffer};

/// Chain of the simulated market.
pub const CHAIN_ID: u64 = 31_337;
/// Its contract.
pub const MARKET: Address = Address::repeat_byte(0x42);
/// Time of the one block that its nodes have seen, Unix seconds.
pub const START_S: u64 = 1_800_000_000;
const TOKEN: Address = Address::repeat_byte(0x70);

/// What orders are signed under.
#[must_use]
pub fn domain() -> Domain {
    Domain::new(CHAIN_ID, MARKET)
}

/// A buyer with as many bids as it likes.
#[derive(Debug)]
pub struct Buyer {
    key: PrivateKeySigner,
    bids: u64,
}

impl Buyer {
    /// The buyer of a number.
    ///
    /// # Errors
    /// The hash of the number is no key, which nobody will see.
    pub fn new(number: u64) -> anyhow::Result<Self> {
        let secret = keccak256(number.to_be_bytes());
        let key = PrivateKeySigner::from_bytes(&secret).context("no key")?;
        Ok(Self { key, bids: 0 })
    }

    /// Its account.
    #[must_use]
    pub fn account(&self) -> Address {
        self.key.address()
    }

    /// Its next bid, a small one for any region.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn bid(&mut self) -> anyhow::Result<SignedBid> {
        self.bid_for(64, None)
    }

    /// Its next bid, for so many MiB of memory in a region, or in any.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn bid_for(&mut self, memory_mib: u32, region: Option<u8>) -> anyhow::Result<SignedBid> {
        let job = JobSpec {
            machineVersion: 1,
            imageRoot: B256::repeat_byte(1),
            inputsRoot: B256::repeat_byte(2),
            manifest: B256::repeat_byte(3),
            source: B256::repeat_byte(4),
            cycleLimit: 1_000_000_000,
            pageLimit: 256,
            slotLimit: 65_536,
            outputLimit: 1 << 20,
            taskCount: 1,
        };
        self.bids += 1;
        let bid = Bid {
            buyer: self.account(),
            token: TOKEN,
            jobHash: job_hash(&job),
            tasks: 1,
            cyclesExpected: 500_000_000,
            resources: Resources {
                memoryMib: memory_mib,
                diskMib: 64,
                gpuClass: 0,
                gpuCount: 0,
                egressMib: 1,
            },
            priceCap: 1_000_000,
            valueOfTime: 1,
            regions: region.map_or(U256::MAX, |region| U256::from(1) << region),
            attributes: U256::ZERO,
            roundTripMsMax: 0,
            roundTripPlace: B256::ZERO,
            auditRateBps: 0,
            auditFee: 0,
            collateralBps: 10_000,
            replicas: 1,
            queueTimeout: 30,
            executionTimeout: 120,
            rankWindow: 0,
            tip: 10,
            expiry: START_S + 3_600,
            salt: U256::from(self.bids),
            counter: 0,
        };
        let signature = self.key.sign_hash_sync(&domain().bid_hash(&bid))?;
        Ok(SignedBid {
            bid,
            signature: signature.as_bytes().to_vec(),
            job,
        })
    }
}

/// A provider with as many offers as it likes.
#[derive(Debug)]
pub struct Provider {
    key: PrivateKeySigner,
    offers: u64,
}

impl Provider {
    /// The provider of a number; none has the account of a buyer.
    ///
    /// # Errors
    /// The hash of the number is no key, which nobody will see.
    pub fn new(number: u64) -> anyhow::Result<Self> {
        let secret = keccak256([b"provider".as_slice(), &number.to_be_bytes()].concat());
        let key = PrivateKeySigner::from_bytes(&secret).context("no key")?;
        Ok(Self { key, offers: 0 })
    }

    /// Its account.
    #[must_use]
    pub fn account(&self) -> Address {
        self.key.address()
    }

    /// Its next offer, dearer than the one before.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn offer(&mut self) -> anyhow::Result<SignedOffer> {
        self.offer_at(1024, 0)
    }

    /// Its next offer, with so many MiB of memory in a region.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn offer_at(&mut self, memory_mib: u32, region: u8) -> anyhow::Result<SignedOffer> {
        self.offers += 1;
        let offer = Offer {
            provider: self.account(),
            token: TOKEN,
            capacityId: B256::repeat_byte(0xca),
            slots: 4,
            peerKey: B256::repeat_byte(5),
            region,
            attributes: U256::ZERO,
            resources: Resources {
                memoryMib: memory_mib,
                diskMib: 1024,
                gpuClass: 0,
                gpuCount: 0,
                egressMib: 64,
            },
            startFee: u128::from(self.offers),
            cyclePrice: 1_000_000_000_000,
            memoryPrice: 0,
            diskPrice: 0,
            gpuPrice: 0,
            egressPrice: 0,
            speed: 100_000_000,
            collateralMax: 1 << 90,
            machineVersion: 1,
            tip: 1,
            expiry: START_S + 600,
            salt: U256::from(self.offers),
            counter: 0,
        };
        let signature = self.key.sign_hash_sync(&domain().offer_hash(&offer))?;
        let signature = signature.as_bytes().to_vec();
        Ok(SignedOffer { offer, signature })
    }
}

/// A chain on which nothing happens, and which answers at once: accounts have what they are given.
#[derive(Debug, Default)]
pub struct StillChain {
    balances: BTreeMap<Address, u128>,
}

impl StillChain {
    /// A chain on which these accounts have more than they can spend, and all others nothing.
    #[must_use]
    pub fn funding(accounts: impl IntoIterator<Item = Address>) -> Self {
        let balances = accounts.into_iter().map(|account| (account, 1 << 100));
        Self {
            balances: balances.collect(),
        }
    }

    fn fact(&self, key: FactKey) -> Option<Fact> {
        Some(match key {
            FactKey::Balance(account, token) => Fact::Balance {
                account,
                token,
                free: self.balances.get(&account).copied().unwrap_or(0),
            },
            FactKey::Counter(account) => Fact::Counter {
                account,
                counter: 0,
            },
            FactKey::Salt(account, salt) => Fact::Salt {
                account,
                salt,
                cancelled: false,
                taken: false,
                partly: false,
            },
            FactKey::Taken(bid) => Fact::Taken { bid, tasks: 0 },
            FactKey::Slots(provider, capacity_id) => Fact::Slots {
                provider,
                capacity_id,
                open: 0,
            },
            FactKey::Barred(..) | FactKey::Freed(..) => return None,
        })
    }
}

impl Views for StillChain {
    fn facts(
        &self,
        keys: Vec<FactKey>,
        _block: u64,
    ) -> BoxFuture<'_, Result<Vec<Fact>, ChainProblem>> {
        let facts = keys.into_iter().filter_map(|key| self.fact(key)).collect();
        Box::pin(std::future::ready(Ok(facts)))
    }

    fn contract_says<'a>(
        &'a self,
        _digest: B256,
        _signer: Address,
        _signature: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<bool>, ChainProblem>> {
        // There are no contract accounts.
        Box::pin(std::future::ready(Ok(None)))
    }
}
