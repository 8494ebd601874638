//! Lists and their roots, offsets, refusals, clocks.

use alloy_primitives::{B256, keccak256};
use outcry_verifier::game::rules::SECTIONS_MAX;
use outcry_verifier::game::{
    Challenge, Clocks, Game, List, Part, Party, Refusal, Standing, TooLong, sections,
};
use outcry_verifier::limits::CYCLE_LIMIT;
use proptest::prelude::*;

fn hashes() -> impl Strategy<Value = [B256; 16]> {
    any::<[[u8; 32]; 16]>().prop_map(|all| all.map(B256::from))
}

fn begin(sections: u8) -> Game {
    Game::begin(Challenge {
        initial: keccak256("initial"),
        asserted: keccak256("asserted"),
        halted: keccak256("halted"),
        sections,
    })
    .unwrap()
}

proptest! {
    #[test]
    fn every_part_leads_to_its_list_and_no_other_does(
        before in any::<[u8; 32]>(), ends in hashes(), index in 0_u8..16, bit in 0_usize..256,
    ) {
        let list = List { before: before.into(), ends };
        let part = list.part(index).unwrap();
        prop_assert_eq!(part.root(), Some(list.root()));
        prop_assert_eq!(part.end, list.ends[usize::from(index)]);
        let start = if index == 0 { list.before } else { list.ends[usize::from(index) - 1] };
        prop_assert_eq!(part.before, start);
        let flip = |hash: &mut B256| hash.0[bit / 8] ^= 1 << (bit % 8);
        let mut changed: Vec<Part> = Vec::new();
        for at in 0..4 {
            let mut other = part;
            flip(&mut other.path[at]);
            changed.push(other);
        }
        let mut other = part;
        flip(&mut other.before);
        changed.push(other);
        let mut other = part;
        flip(&mut other.end);
        changed.push(other);
        changed.push(Part { index: index ^ 1, ..part });
        changed.push(Part { index: index + 16, ..part });
        for other in changed {
            prop_assert_ne!(other.root(), Some(list.root()));
        }
        prop_assert_eq!(list.part(index + 16), None);
    }

    #[test]
    fn the_list_lies_where_the_digits_of_the_parts_say(
        sections in 1_u8..=14, digits in prop::collection::vec(0_u8..16, 14),
    ) {
        let mut game = begin(sections);
        let mut steps = u128::from(game.part_steps());
        prop_assert_eq!(steps, 16_u128.pow(sections.into()));
        let mut offset = 0_u128;
        for (made, digit) in digits[..usize::from(sections)].iter().enumerate() {
            prop_assert_eq!(game.end_of(*digit), (offset + (u128::from(*digit) + 1) * steps) as u64);
            let ends = std::array::from_fn(|at| keccak256([made as u8, at as u8]));
            game.replay_section(*digit, &ends).unwrap();
            offset += u128::from(*digit) * steps;
            steps /= 16;
            prop_assert_eq!(u128::from(game.offset()), offset);
            prop_assert_eq!(u128::from(game.part_steps()), steps);
        }
        prop_assert_eq!(game.sections_left(), 0);
        prop_assert_eq!(game.part_steps(), 1);
        prop_assert!(game.end_of(15) <= 16_u64.pow(u32::from(sections) + 1));
        prop_assert_eq!(game.replay_section(0, &[B256::ZERO; 16]), Err(Refusal::SectionsDone));
    }

    #[test]
    fn so_many_sections_reach_every_step_of_a_run_and_one_less_does_not(cycles in 0..=CYCLE_LIMIT) {
        let most_steps = 1024 * (u128::from(cycles) + 1);
        let n = sections(cycles);
        prop_assert!(most_steps <= 16_u128.pow(n.into()));
        // The next power of two above the limit would not fit into one section less.
        let bits = 64 - cycles.leading_zeros();
        prop_assert!(1024 << bits > 16_u64.pow(u32::from(n) - 1));
        prop_assert!(n <= 14);
    }

    #[test]
    fn a_clock_runs_out_once_and_only_while_it_runs(
        since in 0_u64..1 << 40, left in 0_u32..1 << 24, passed in 0_u64..1 << 25, seated: bool,
        challenger: bool,
    ) {
        let mover = if challenger { Party::Challenger } else { Party::Provider };
        // The clock of who does not move is empty, and does not matter.
        let (challenger_left, provider_left) = if challenger { (left, 0) } else { (0, left) };
        let clocks = Clocks { since, challenger_left, provider_left, seated };
        let now = since + passed;
        let standing = clocks.standing(mover, now);
        // A provider waits for four clocks at most.
        let waits = if challenger || seated { 0 } else { 4 * u64::from(left) };
        let ran = passed.saturating_sub(waits);
        prop_assert_eq!(clocks.runs(mover, now), passed >= waits);
        if ran > left.into() {
            prop_assert_eq!(standing, Standing::Overdue { mover });
        } else {
            prop_assert_eq!(standing, Standing::Running { mover, left: left - ran as u32 });
        }
        // A seat changes nothing about a clock that runs, and starts one that does not.
        let taken = clocks.takes_seat(mover, now);
        prop_assert_eq!(taken.standing(mover, now), standing);
        prop_assert!(taken.runs(mover, now));
        // The contract's view of the same moment says the same, then and later, but for what is left
        // of a wait.
        let (shown, overdue) = match standing {
            Standing::Running { left, .. } => (left, false),
            Standing::Overdue { .. } => (0, true),
        };
        let (challenger_left, provider_left) = if challenger { (shown, 0) } else { (0, shown) };
        let seen = Clocks::seen(now, challenger_left, provider_left, overdue);
        let waits = waits.saturating_sub(passed);
        for later in [0, 1, u64::from(left), 1 << 25] {
            let truly = clocks.standing(mover, now + waits + later);
            prop_assert_eq!(seen.standing(mover, now + later), truly);
        }
    }
}

#[test]
fn a_run_at_the_largest_limit_is_fourteen_sections() {
    assert_eq!(sections(CYCLE_LIMIT), 14);
    assert_eq!(sections(0), 3);
    assert_eq!(sections((1 << 30) - 1), 10, "2^40 steps");
    assert_eq!(sections(u64::MAX), 19);
    for n in 16..=19 {
        let challenge = Challenge {
            initial: B256::ZERO,
            asserted: B256::ZERO,
            halted: B256::ZERO,
            sections: n,
        };
        assert_eq!(Game::begin(challenge), Err(TooLong(n)));
    }
}

#[test]
fn the_longest_game_that_a_contract_can_hold_overflows_nowhere() {
    let mut game = begin(SECTIONS_MAX);
    for made in 0..SECTIONS_MAX {
        assert_eq!(game.end_of(15), u64::MAX, "16^16 and more, cut off");
        let ends = std::array::from_fn(|at| keccak256([made, at as u8]));
        game.replay_section(15, &ends).unwrap();
    }
    assert_eq!(game.offset(), u64::MAX - 15);
}

#[test]
fn moves_are_refused_for_the_contract_s_reasons() {
    let ends: [B256; 16] = std::array::from_fn(|at| keccak256([at as u8]));
    let mut game = begin(2);
    let claimed = game.list().part(0).unwrap();
    let asserted = claimed.end;
    assert_eq!(
        game.section(Party::Provider, &claimed, &ends),
        Err(Refusal::NotYourTurn)
    );
    let other = List {
        before: claimed.before,
        ends,
    };
    assert_eq!(
        game.section(Party::Challenger, &other.part(0).unwrap(), &ends),
        Err(Refusal::PartMismatch)
    );
    let mut agreeing = ends;
    agreeing[15] = asserted;
    assert_eq!(
        game.section(Party::Challenger, &claimed, &agreeing),
        Err(Refusal::EndNotDisputed)
    );
    assert_eq!(
        game.prove(Party::Challenger, &claimed, &[]),
        Err(Refusal::SectionsLeft)
    );
    assert_eq!(game, begin(2), "what is refused leaves no trace");
    game.section(Party::Challenger, &claimed, &ends).unwrap();
    // Parts of an older list are no longer there.
    assert_eq!(
        game.section(Party::Provider, &claimed, &[asserted; 16]),
        Err(Refusal::PartMismatch)
    );
    game.replay_section(3, &[asserted; 16]).unwrap();
    let part = game.list().part(0).unwrap();
    assert_eq!(
        game.section(Party::Challenger, &part, &ends),
        Err(Refusal::SectionsDone)
    );
    assert!(matches!(
        game.prove(Party::Challenger, &part, &[]),
        Err(Refusal::Proof(_))
    ));
    game.end(Party::Provider);
    assert_eq!(
        game.prove(Party::Challenger, &part, &[]),
        Err(Refusal::GameNotRunning)
    );
}
