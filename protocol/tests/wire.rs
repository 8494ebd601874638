//! The wire: whatever the bytes, decoding answers; and no message has two encodings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use market::*;
use outcry_protocol::claim::{decode_tasks, encode_tasks};
use outcry_protocol::limits::MESSAGE_BYTES_MAX;
use outcry_protocol::wire::{Message, SignedBid, SignedOffer, WireError};
use proptest::prelude::*;

fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any_bid(), proptest::collection::vec(any::<u8>(), 0..150)).prop_map(|(bid, signature)| {
            let job = job(bid.tasks);
            Message::Bid(SignedBid {
                bid,
                signature,
                job,
            })
        }),
        (any_offer(), proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(offer, signature)| Message::Offer(SignedOffer { offer, signature })),
    ]
}

/// Whatever is decoded is encoded to the same bytes again.
fn has_one_encoding(bytes: &[u8]) -> bool {
    Message::decode(bytes).is_ok_and(|message| message.encode().unwrap() == bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn messages_survive_the_wire(message in any_message()) {
        let bytes = message.encode().unwrap();
        prop_assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        prop_assert_eq!(Message::decode(&bytes).unwrap(), message);
    }

    #[test]
    fn arbitrary_bytes_are_answered_and_never_accepted_in_two_forms(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000), kind in 0u8..4,
    ) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        if Message::decode(&bytes).is_ok() {
            prop_assert!(has_one_encoding(&bytes));
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_means_something_else(
        message in any_message(), at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let bytes = message.encode().unwrap();
        let mut changed = bytes.clone();
        let at = at.index(bytes.len());
        changed[at] = to;
        if changed != bytes && let Ok(other) = Message::decode(&changed) {
            prop_assert_ne!(&other, &message);
            prop_assert!(has_one_encoding(&changed));
        }
    }

    #[test]
    fn a_cut_or_lengthened_message_is_refused(
        message in any_message(), cut in any::<prop::sample::Index>(), tail in proptest::collection::vec(any::<u8>(), 1..50),
    ) {
        let bytes = message.encode().unwrap();
        prop_assert!(Message::decode(&bytes[..cut.index(bytes.len())]).is_err());
        let longer = [bytes, tail].concat();
        prop_assert!(matches!(Message::decode(&longer), Err(WireError::Trailing(_) | WireError::TooLong(_))));
    }

    #[test]
    fn claims_have_one_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        match decode_tasks(&bytes) {
            Err(_) => prop_assert!(bytes.len() % 38 != 0),
            Ok(tasks) => {
                // Cycles beyond the machine's bound decode, so that the contract's reason can be told,
                // but are never encoded.
                if let Ok(encoded) = encode_tasks(&tasks) {
                    prop_assert_eq!(encoded, bytes);
                }
            }
        }
    }
}
