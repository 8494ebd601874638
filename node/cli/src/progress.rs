//! Progress of a job on stderr: a moving line where somebody watches, plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use outcry_sdk::Progress;
use outcry_sdk::api::{JobEvent, JobEventKind, TokenInfo};
use outcry_sdk::units;

use crate::console::{Console, short};
use crate::settings::Settings;

const MIB: u64 = 1 << 20;

/// A bar for work on this machine, where somebody watches; nothing elsewhere.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(crate) fn new(console: &Console<'_>, settings: &Settings) -> Self {
        let watched = console.interactive && !settings.global.quiet;
        Self(watched.then(|| {
            let bar = ProgressBar::no_length();
            // A template of ours, with known keys; were it refused, indicatif's own would do.
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {msg} {wide_bar} {percent}% {elapsed}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        }))
    }

    /// What is being done.
    pub(crate) fn say(&self, what: &'static str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what);
        }
    }

    /// How much of it is done; `of` is 0 if nobody knows.
    pub(crate) fn at(&self, done: u64, of: u64) {
        if let Some(bar) = &self.0 {
            match of {
                0 => bar.unset_length(),
                of => bar.set_length(of),
            }
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Shows what [`outcry_sdk::Client::run`] tells.
pub(crate) struct Watch<'a, 'b> {
    console: &'a mut Console<'b>,
    token: TokenInfo,
    quiet: bool,
    bar: Option<ProgressBar>,
    last: String,
}

impl<'a, 'b> Watch<'a, 'b> {
    pub(crate) fn new(console: &'a mut Console<'b>, token: TokenInfo, quiet: bool) -> Self {
        let bar = (console.interactive && !quiet).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::default_spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            console,
            token,
            quiet,
            bar,
            last: String::new(),
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        // The same line again tells nothing.
        if self.quiet || text == self.last {
            return;
        }
        self.last = text.to_owned();
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.console.note(text),
        }
    }

    pub(crate) fn progress(&mut self, progress: &Progress) {
        match progress {
            // Small jobs are there at once.
            Progress::Uploaded { of, .. } if *of < MIB => {}
            Progress::Uploaded { bytes, of } => {
                let mib = |bytes: u64| bytes as f64 / MIB as f64;
                self.say(&format!(
                    "stored {:.1} of {:.1} MiB on the node",
                    mib(*bytes),
                    mib(*of)
                ));
            }
            Progress::Submitted { id } => self.keep(&format!("job {id}")),
            Progress::Event(event) => {
                let text = describe(event, &self.token);
                self.say(&text);
            }
            Progress::Checking { deal, task } => {
                self.say(&format!("checking task {task} of deal {}", short(deal)))
            }
            Progress::Accepted { deal } => self.say(&format!("accepted deal {}", short(deal))),
        }
    }

    /// A line that stays on the screen.
    pub(crate) fn keep(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| self.console.note(text)),
            None => self.console.note(text),
        }
    }
}

impl Drop for Watch<'_, '_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// An event in words.
pub(crate) fn describe(event: &JobEvent, token: &TokenInfo) -> String {
    let what = match &event.event {
        JobEventKind::Submitted {} => "the bid is on the market".to_owned(),
        JobEventKind::Matched { offer_hash, tasks } => {
            format!("{tasks} tasks matched with offer {}", short(offer_hash))
        }
        JobEventKind::DealOpened {
            deal_id,
            provider,
            first_task,
            task_count,
            ..
        } => format!(
            "deal {} opened: {provider} runs tasks {first_task} to {}",
            short(deal_id),
            first_task + task_count.saturating_sub(1)
        ),
        JobEventKind::Progress {
            deal_id,
            tasks_done,
            ..
        } => format!("deal {}: {tasks_done} tasks done", short(deal_id)),
        JobEventKind::DealClaimed {
            deal_id,
            cycles,
            price,
            ..
        } => {
            format!(
                "deal {} claimed: {cycles} cycles for {}",
                short(deal_id),
                units::show(*price, token)
            )
        }
        JobEventKind::DealAccepted { deal_id, paid } => format!(
            "deal {} paid: {}",
            short(deal_id),
            units::show(*paid, token)
        ),
        JobEventKind::DealSettled { deal_id, .. } => format!("deal {} settled", short(deal_id)),
        JobEventKind::DealReplaced { deal_id, by } => format!(
            "a better offer took the place of deal {}: it is deal {} now",
            short(deal_id),
            short(by)
        ),
        JobEventKind::DealFailed {
            deal_id,
            deal_state,
            refunded,
        } => {
            format!(
                "deal {} {deal_state}: {} came back",
                short(deal_id),
                units::show(*refunded, token)
            )
        }
        JobEventKind::Challenged { deal_id } => format!("deal {} is disputed", short(deal_id)),
        JobEventKind::Ended {} => "the job has ended".to_owned(),
    };
    format!("{:<11} {what}", event.state)
}
