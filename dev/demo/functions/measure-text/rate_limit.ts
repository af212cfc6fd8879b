/**
 * A token bucket that tells rejected callers when to retry.
 *
 * Rejected callers form a line, and each is sent away for the time that the
 * line takes. If all came back at the same time, most would be rejected again.
 */
export class RateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #line = new Set<string>();
  #tokens: number;
  #refilledAt: number;

  /** `burst` is the number of calls allowed at once after a quiet time. */
  constructor(
    { perSecond, burst }: { perSecond: number; burst: number },
    now = performance.now(),
  ) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#refilledAt = now;
  }

  /** The whole seconds that `caller` has to wait; 0 if the call is allowed. */
  enter(caller: string, now = performance.now()): number {
    const refill = (now - this.#refilledAt) / 1000 * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + refill);
    this.#refilledAt = now;
    // A caller that retries too early goes to the end of the line.
    this.#line.delete(caller);
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return 0;
    }
    this.#line.add(caller);
    return Math.ceil(this.#line.size / this.#perSecond);
  }
}
