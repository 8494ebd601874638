//! What alloy generates from the artifacts. Functions, events and errors are documented in
//! `contracts/src/interfaces/`, structures in `contracts/src/types/`.
#![allow(
    missing_docs,
    clippy::too_many_arguments,
    clippy::pub_underscore_fields,
    unreachable_pub
)]

alloy::sol!(
    #[sol(rpc, all_derives)]
    Market,
    "../artifacts/Market.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    Game,
    "../artifacts/Game.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    Audits,
    "../artifacts/Audits.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    StepVerifier,
    "../artifacts/StepVerifier.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    InitialState,
    "../artifacts/InitialState.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    Stake,
    "../artifacts/Stake.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    Token,
    "../artifacts/Token.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    TestToken,
    "../artifacts/TestToken.json"
);
alloy::sol!(
    #[sol(rpc, all_derives)]
    Auction,
    "../artifacts/Auction.json"
);
