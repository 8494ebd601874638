//! A bounded number of turns. Of those who wait for one, who is due first gets the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Who waits: first by when it is due, then by when it came.
type Place = (u64, u64);

#[derive(Debug)]
struct Queue {
    /// Turns that nobody has; none while somebody waits.
    free: usize,
    came: u64,
    waiting: BTreeMap<Place, oneshot::Sender<Turn>>,
}

/// Turns at something that takes long, by the second (Unix) by which it must be done.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Mutex<Queue>>);

/// A turn. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Turns);

/// A place among those who wait. It is given up when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    turns: Turns,
    place: Place,
    turn: oneshot::Receiver<Turn>,
}

impl Turns {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue {
            free: count,
            came: 0,
            waiting: BTreeMap::new(),
        })))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues up.
    pub(crate) fn wait(&self, due: u64) -> Waiting {
        let (give, turn) = oneshot::channel();
        let mut queue = self.queue();
        queue.came += 1;
        let place = (due, queue.came);
        if queue.free > 0 {
            queue.free -= 1;
            drop(queue);
            // The receiver is here.
            let _ = give.send(Turn(self.clone()));
        } else {
            queue.waiting.insert(place, give);
        }
        Waiting {
            turns: self.clone(),
            place,
            turn,
        }
    }

    /// Queues up and waits.
    pub(crate) async fn take(&self, due: u64) -> Turn {
        loop {
            let mut waiting = self.wait(due);
            // Nobody takes its place away.
            if let Ok(turn) = (&mut waiting.turn).await {
                return turn;
            }
        }
    }

    /// Whether somebody waits who is due before that.
    pub(crate) fn is_wanted_before(&self, due: u64) -> bool {
        let queue = self.queue();
        let first = queue.waiting.first_key_value();
        first.is_some_and(|((first, _), _)| *first < due)
    }

    /// Makes who waits in a place due earlier; returns its new place if it still waits.
    pub(crate) fn hurry(&self, place: Place, due: u64) -> Option<Place> {
        let mut queue = self.queue();
        let give = queue.waiting.remove(&place)?;
        let place = (due.min(place.0), place.1);
        queue.waiting.insert(place, give);
        Some(place)
    }

    /// Sends who waits in a place away without a turn.
    pub(crate) fn dismiss(&self, place: Place) {
        let dismissed = self.queue().waiting.remove(&place);
        drop(dismissed);
    }

    /// Turns that nobody has.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.queue().free
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        match queue.waiting.pop_first() {
            None => queue.free += 1,
            Some((_, give)) => {
                drop(queue);
                // Who went away in this moment lets the next one have it: what comes back is dropped.
                drop(give.send(Self(self.0.clone())));
            }
        }
    }
}

impl Waiting {
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Blocks this thread until it is its turn; `None` if it was sent away.
    pub(crate) fn block(mut self) -> Option<Turn> {
        let (_, nothing) = oneshot::channel();
        std::mem::replace(&mut self.turn, nothing)
            .blocking_recv()
            .ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.turns.dismiss(self.place);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn who_is_due_first_gets_the_next_turn_and_who_came_first_among_equals() {
        let turns = Turns::new(1);
        let first = turns.take(9).await;
        let mut waiting: Vec<_> = [7, 5, 5, 6].map(|due| turns.wait(due)).into();
        assert!(turns.is_wanted_before(6) && !turns.is_wanted_before(5));
        drop(first);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let is_next = |waiting: &mut Waiting| waiting.turn.try_recv().ok();
            let (index, turn) = (0..)
                .zip(&mut waiting)
                .find_map(|(index, waiting)| Some((index, is_next(waiting)?)))
                .unwrap();
            order.push(waiting.remove(index).place);
            drop(turn);
        }
        assert_eq!(order, [(5, 3), (5, 4), (6, 5), (7, 2)]);
        assert_eq!(turns.free(), 1);
    }

    #[tokio::test]
    async fn a_turn_is_not_lost_on_who_went_away() {
        let turns = Turns::new(1);
        let first = turns.take(0).await;
        drop(turns.wait(1));
        let gone = turns.wait(2);
        let stays = turns.wait(3);
        // It is given the turn, and goes away with it.
        drop(first);
        drop(gone);
        let mut stays = stays;
        drop((&mut stays.turn).await.unwrap());
        assert_eq!((turns.free(), turns.waiting()), (1, 0));
    }

    #[test]
    fn who_waits_may_become_due_earlier_or_be_sent_away() {
        let turns = Turns::new(1);
        let held = turns.wait(0).block().unwrap();
        let (late, early) = (turns.wait(9), turns.wait(5));
        let hurried = turns.hurry(late.place(), 4).unwrap();
        assert_eq!(hurried.0, 4);
        turns.dismiss(early.place());
        assert!(early.block().is_none());
        drop(held);
        drop(late.block().unwrap());
        assert_eq!(turns.free(), 1);
    }
}
