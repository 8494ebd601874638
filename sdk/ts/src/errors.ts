/**
 * A failure with the stable code of the protocol's registry (`protocol/src/codes.rs`) and what to
 * do about it.
 */
export class OutcryError extends Error {
  override readonly name = "OutcryError";

  constructor(
    /** Stable code, for example `M-003`. */
    readonly code: string,
    message: string,
    /** What to do about it. */
    readonly help: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
