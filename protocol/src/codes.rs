//! The one registry of error codes for the whole product.
//!
//! A code is stable for ever: scripts depend on it. A crate's error enum says what happened in its
//! message and maps each variant to a code here, which says what to do about it. Add a row where it
//! belongs; never reuse or renumber one. `[O-004] the order expired at 1700000000` is how the CLI
//! prints it, `{code, message, help}` how the API does.

/// What the CLI's process ends with when this error ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// The job failed, or something did that no other number names.
    Failed = 1,
    /// The request was wrong.
    Usage = 2,
    /// Nobody took the job in time.
    NoMatch = 3,
    /// Not enough money, or money in the wrong place.
    Payment = 4,
    /// A peer, node or chain can't be reached or doesn't do its part.
    Network = 5,
    /// A time limit of the user's passed.
    TimedOut = 124,
}

/// One row of the registry.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Code {
    /// Letter of the group and number, `M-003`.
    pub id: &'static str,
    /// What it means, in a few words.
    pub title: &'static str,
    /// What to do about it.
    pub help: &'static str,
    /// Exit code of the CLI.
    pub exit: Exit,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// An error that has a code.
pub trait Coded: std::error::Error {
    /// Its row in the registry.
    fn code(&self) -> &'static Code;

    /// `[M-003] message`.
    fn coded_message(&self) -> String {
        format!("[{}] {self}", self.code().id)
    }
}

/// The row with this id.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.id == id)
}

macro_rules! registry {
    ($($name:ident $id:literal $exit:ident $title:literal $help:literal;)+) => {
        $(
            #[doc = $title]
            pub static $name: Code = Code { id: $id, title: $title, help: $help, exit: Exit::$exit };
        )+
        /// All rows, in the order of the file.
        pub static ALL: &[&Code] = &[$(&$name),+];
    };
}

registry! {
    // Orders: form, limits, signatures.
    ORDER_MALFORMED "O-001" Usage "the order can't be read"
        "Compare the fields with protocol/SPEC.md; the SDKs build valid orders.";
    ORDER_JOB_MISMATCH "O-002" Usage "the job is not the one that the bid names"
        "Set jobHash to the keccak256 of the job's ABI encoding and sign the bid again.";
    ORDER_JOB_LIMIT "O-003" Usage "a limit of the job lies outside what the machine allows"
        "Lower the limit that the message names, or split the job into a chain of tasks.";
    ORDER_TASKS "O-004" Usage "the number of tasks is wrong"
        "A job has 1 to 1048576 tasks and the bid names the same number.";
    ORDER_EXPIRED "O-005" Usage "the order has expired"
        "Sign a new order with a later expiry; check the clock if it was signed just now.";
    ORDER_EXPIRY_FAR "O-006" Usage "the order expires too far in the future"
        "A bid lives at most seven days, an offer at most one hour; renew it.";
    ORDER_PRICE "O-007" Usage "a price exceeds 2^100"
        "Amounts are base units; check the token's decimals.";
    ORDER_REGIONS "O-008" Usage "the bid accepts no region"
        "Set at least one bit of regions; all bits mean anywhere.";
    ORDER_TIMEOUT "O-009" Usage "a timeout lies outside its bounds"
        "The queue timeout is 1 s to one day, the execution timeout 1 s to thirty days.";
    ORDER_SIGNATURE "O-010" Usage "the signature is not the account's"
        "Sign the EIP-712 digest for this chain and market with the account that the order names.";
    ORDER_CANCELLED "O-011" Usage "the order was cancelled on the chain"
        "Sign a new order with a new salt and the account's present counter.";
    ORDER_COUNTER "O-012" Usage "the order's counter is not the account's"
        "Read the account's counter from the market and sign again.";
    ORDER_CYCLES_EXPECTED "O-013" Usage "the expected cycles lie outside 1 to the cycle limit"
        "Take the cycles that `outcry machine run` reports for a typical task.";
    ORDER_MEMORY "O-014" Usage "the bid reserves less memory than its job may use"
        "Reserve at least pageLimit / 16 MiB, or lower the page limit.";
    ORDER_COLLATERAL "O-015" Usage "the collateral multiple exceeds 1000000 basis points"
        "Ask for at most a hundred times the price.";
    ORDER_SLOTS "O-016" Usage "the number of slots is outside 1 to 4096"
        "Use several capacity ids for a larger pool.";
    ORDER_SPEED "O-017" Usage "the speed is outside 1 to 10^13 cycles per second"
        "Take the figure of `outcry provider benchmark`.";
    ORDER_PEER_KEY "O-018" Usage "the offer names no peer"
        "Set peerKey to the Ed25519 key of the provider's node.";
    ORDER_ACCOUNT "O-019" Usage "the order names no account"
        "Set buyer or provider to the account that signs.";
    ORDER_REPLICAS "O-020" Usage "replicas other than 1 are not supported yet"
        "Set replicas to 1.";
    ORDER_GPU "O-021" Usage "GPUs are not supported yet"
        "Set gpuClass and gpuCount to 0.";
    ORDER_ROUND_TRIP "O-022" Usage "limits on round-trip time are not supported yet"
        "Set roundTripMsMax and roundTripPlace to 0; choose regions instead.";
    ORDER_AUDIT "O-023" Usage "the audit rate and the audit fee do not go together"
        "Set both to 0, or the rate to 1 to 10000 basis points and the fee to what an audit shall pay.";
    ORDER_RANK_WINDOW "O-024" Usage "the rank window is longer than 32 blocks"
        "Ask for at most 32 blocks, or for none with 0.";
    ORDER_MACHINE "O-025" Usage "the machine version is unknown here"
        "Upgrade the software, or build the order for a version that it knows.";
    ORDER_QUOTA "O-026" Usage "the account has too many live orders"
        "Cancel some, or wait until they expire.";
    ORDER_TAKEN "O-027" Usage "every task of the bid is taken"
        "Nothing to do; sign a new bid for more work.";
    ORDER_UNKNOWN "O-028" Usage "no such order is known here"
        "Check the hash; the order may have expired, or not have arrived yet.";
    ORDER_SHARD "O-029" Usage "the node does not take part in the order's shard"
        "Send it to a node that takes in its class and region; the status of a node says which shards it takes part in.";

    // Matching: why a bid finds no offer.
    MATCH_TOKEN "M-001" NoMatch "no offer takes this token"
        "Pay in one of the tokens that `outcry market book` shows.";
    MATCH_REGION "M-002" NoMatch "no offer lies in an accepted region"
        "Accept more regions.";
    MATCH_MEMORY "M-003" NoMatch "no offer has this much memory"
        "Reserve less memory.";
    MATCH_DISK "M-004" NoMatch "no offer has this much disk"
        "Reserve less disk.";
    MATCH_EGRESS "M-005" NoMatch "no offer has this much egress"
        "Reserve less egress.";
    MATCH_GPU "M-006" NoMatch "no offer has these GPUs"
        "Ask for none.";
    MATCH_ATTRIBUTES "M-007" NoMatch "no offer has the required attributes"
        "Require fewer attributes.";
    MATCH_PRICE "M-008" NoMatch "every offer expects more than the price cap"
        "Raise the price cap to what the explanation names.";
    MATCH_SPEED "M-009" NoMatch "no offer is fast enough for the execution timeout"
        "Raise the execution timeout, or lower the cycle limit.";
    MATCH_COLLATERAL "M-010" NoMatch "no offer risks this much collateral"
        "Ask for a smaller collateral multiple or a lower cycle limit.";
    MATCH_SLOTS "M-011" NoMatch "every slot is taken"
        "Wait, or accept more offers by loosening another constraint.";
    MATCH_PROVIDER_BALANCE "M-012" NoMatch "providers can't cover the collateral"
        "Ask for less collateral; providers: deposit more.";
    MATCH_BUYER_BALANCE "M-013" Payment "the buyer's balance does not cover the escrow"
        "Deposit what the message names.";
    MATCH_MACHINE "M-014" NoMatch "no offer runs this machine version"
        "Link the program for a version that offers name.";
    MATCH_SELF "M-015" NoMatch "an account can't serve its own bid"
        "Use another account for one side.";
    MATCH_BARRED "M-016" NoMatch "the provider cancelled this bid before"
        "Other providers may take it.";
    MATCH_EMPTY "M-017" NoMatch "there are no live offers"
        "Wait for providers; check that the node has peers.";
    MATCH_TIMEOUT "M-018" NoMatch "nobody took the job in time"
        "`outcry explain` says which constraints the offers fail.";
    MATCH_AMOUNT "M-019" NoMatch "the price needs more than 128 bits"
        "Reserve less, or avoid offers at the price limit.";
    MATCH_BLOCKED "M-020" NoMatch "the bid waits for earlier bids of its account"
        "Deposit enough for all live bids: the price cap of one task, two tips and the audit fee each.";

    // Funds.
    FUNDS_INSUFFICIENT "F-001" Payment "the balance on the market is too small"
        "Deposit the missing amount: `outcry deposit`, and in the auction `outcry reserve deposit`.";
    FUNDS_TOKEN_FEE "F-002" Payment "the token takes a fee on transfers"
        "Such tokens are refused; use another.";
    FUNDS_TOKEN_REBASED "F-003" Payment "the token changes balances by itself"
        "Such tokens are refused; use another.";
    FUNDS_WITHDRAWAL_EARLY "F-004" Payment "the withdrawal delay has not passed"
        "Try again at the time that the message names.";
    FUNDS_NOTHING_PENDING "F-005" Payment "no withdrawal was requested"
        "Request one first.";
    FUNDS_AMOUNT "F-006" Usage "the amount is malformed or out of range"
        "Give a decimal number of whole units of the token, like 1.25.";
    FUNDS_GAS "F-007" Payment "the account has too little of the chain's coin for gas"
        "Send some of the chain's coin to the account.";
    FUNDS_ALLOWANCE "F-008" Payment "the market may not move this much of the token"
        "Approve the market for the amount, or deposit with a permit.";
    FUNDS_WALLET "F-009" Payment "the account holds too little of the token"
        "Send the token to the account first.";

    // Deals, claims, settlement.
    DEAL_UNKNOWN "D-001" Usage "no such deal"
        "Check the id; a settled deal leaves only events.";
    DEAL_STATE "D-002" Failed "the deal's state does not allow this"
        "Look at `outcry status`; somebody else may have been first.";
    DEAL_DEADLINE "D-003" Failed "the deadline has passed"
        "The deal fails; its tasks return to the market while the bid is live.";
    DEAL_CLAIM "D-004" Failed "the claim does not match the deal"
        "The claim must hold one entry per task, within the cycle limit.";
    DEAL_ACCEPT_SIGNATURE "D-005" Usage "the acceptance is not signed by the buyer"
        "Sign Accept with the account that signed the bid.";
    DEAL_WINDOW "D-006" Usage "the window does not allow this now"
        "Wait until it has passed, or act within it.";
    DEAL_RESULT "D-007" Failed "the result differs from the claim"
        "Do not accept it; a verifier can dispute the claim.";
    DEAL_FAILED "D-008" Failed "the deal failed and was refunded"
        "Its tasks are matched again while the bid is live.";
    DEAL_PARTY "D-009" Usage "the account is not a party of the deal"
        "Use the buyer's or the provider's key.";

    // Programs and their execution.
    PROGRAM_MALFORMED "P-001" Usage "the program is not a valid WebAssembly module"
        "Check the file; the message names the byte offset.";
    PROGRAM_FEATURE "P-002" Usage "the program uses a feature that the machine does not have"
        "Compile without the feature that the message names.";
    PROGRAM_IMPORT "P-003" Usage "the program imports something that is unknown"
        "Only wasi_snapshot_preview1 can be imported; compile for wasm32-wasip1.";
    PROGRAM_LIMIT "P-004" Usage "the program exceeds a limit of the loader"
        "The message names the limit and the offset.";
    PROGRAM_TRAPPED "P-005" Failed "the program trapped"
        "Run it with `outcry machine run` to reproduce the trap.";
    PROGRAM_CYCLES "P-006" Failed "the program ran out of cycles"
        "Raise the cycle limit.";
    PROGRAM_SLOTS "P-007" Failed "the program ran out of frame slots"
        "Raise the slot limit, or recurse less deeply.";
    PROGRAM_OUTPUT "P-008" Failed "the output exceeds its limit"
        "Raise the output limit.";
    PROGRAM_EXIT "P-009" Failed "the program exited with a code other than 0"
        "Read its stderr with `outcry get`.";
    PROGRAM_ENGINE "P-010" Failed "the execution engine failed"
        "Nothing was claimed; the node tries again. Check memory and the log.";
    PROGRAM_ARCHIVE "P-011" Usage "the archive is not in canonical form"
        "Build it with the SDK or the CLI.";
    PROGRAM_ROOT "P-012" Usage "the program is not the one that the job commits to"
        "Link the same program with the same version.";
    PROGRAM_FILE "P-013" Usage "the program can't be read"
        "Check the path; a .py file needs the published CPython program.";

    // Blobs.
    BLOB_HASH "B-001" Network "the blob does not match its hash"
        "The sender is at fault; it is fetched from somebody else.";
    BLOB_MISSING "B-002" Network "the blob can't be found"
        "Upload it, or keep the node that serves it running.";
    BLOB_SIZE "B-003" Usage "the blob is too large"
        "The message names the limit.";
    BLOB_MANIFEST "B-004" Usage "the manifest is malformed"
        "Build it with the SDK or the CLI.";
    BLOB_ROOT "B-005" Usage "an input does not match the root in the job"
        "The job was built from other files; build it again.";
    BLOB_SPACE "B-006" Failed "there is no room for the blob"
        "Free disk space or raise the quota in the configuration.";

    // Configuration and the machine's surroundings.
    CONFIG_KEY "C-001" Usage "the configuration has an unknown key"
        "`outcry config print` shows all keys.";
    CONFIG_VALUE "C-002" Usage "a value of the configuration is invalid"
        "The message names the key and what it accepts.";
    CONFIG_SECRET "C-003" Usage "a secret file can be read by others"
        "chmod 600 the file.";
    CONFIG_FILE "C-004" Usage "a file can't be read or written"
        "Check the path and its permissions.";
    CONFIG_KEYSTORE "C-005" Usage "the key can't be opened"
        "Check the keystore file and its password.";
    CONFIG_TOOL "C-006" Usage "a tool is missing"
        "Install what the message names.";
    CONFIG_ARGUMENT "C-007" Usage "an argument is invalid"
        "--help shows the arguments.";

    // Storage.
    STORE_LOCKED "S-001" Failed "another process uses the data folder"
        "Stop it, or choose another folder.";
    STORE_NEWER "S-002" Failed "the data folder was written by a newer version"
        "Upgrade the software; it never downgrades data.";
    STORE_DAMAGED "S-003" Failed "the store is damaged"
        "Restore a copy, or start with an empty folder: the chain holds every deal.";
    STORE_IO "S-004" Failed "the disk refused"
        "Check free space and the disk.";
    STORE_OLDER "S-005" Failed "the data folder was written by an older version"
        "Run `outcry store migrate`.";

    // Chain.
    CHAIN_WRONG "X-001" Network "the node is on another chain"
        "Check rpc_url and chain_id.";
    CHAIN_NO_CODE "X-002" Network "there is no contract at the address"
        "Check the contract addresses and the chain.";
    CHAIN_UNREACHABLE "X-003" Network "the chain's RPC does not answer"
        "Check rpc_url and the connection.";
    CHAIN_REVERTED "X-004" Failed "the contract refused the transaction"
        "The message holds the contract's reason.";
    CHAIN_STALE "X-005" Network "the chain's head is too old"
        "The RPC lags; use another.";
    CHAIN_FEE "X-006" Payment "the fee exceeds the configured cap"
        "Raise the cap, or wait.";
    CHAIN_ANSWER "X-007" Network "the RPC's answer makes no sense"
        "Use another RPC endpoint.";

    // Network and API.
    NET_UNREACHABLE "N-001" Network "the node can't be reached"
        "Check the node's address and that it runs.";
    NET_PEER "N-002" Network "the peer can't be found"
        "It may be offline; try again.";
    NET_TIMEOUT "N-003" TimedOut "the time limit passed"
        "Try again, or give more time.";
    NET_MESSAGE "N-004" Network "a peer sent something malformed"
        "Nothing to do; the peer loses standing.";
    NET_BUSY "N-005" Network "too many requests"
        "Wait a moment.";
    NET_REQUEST "N-006" Usage "the request is malformed"
        "Compare it with /openapi.json.";
    NET_NOT_FOUND "N-007" Usage "there is nothing at this address"
        "Compare it with /openapi.json.";
    NET_NOT_READY "N-008" Network "the node is not ready"
        "/readyz says what it waits for.";
    NET_ROLE "N-009" Usage "the node does not have this role"
        "Ask a node with the role that the message names.";
    NET_UNAUTHORISED "N-010" Usage "the call needs the node's API token"
        "Send the token in the header `Authorization: Bearer ...`, or set OUTCRY_API_TOKEN.";
    INTERNAL "Z-001" Failed "this should not have happened"
        "Please report it with the log.";
}
