/**
 * Lets so many calls a second through, and tells the others when to come back.
 *
 * Those who wait form a line, and each is told how long it is: were all told
 * the same second, all but a few would come for nothing.
 */
export class RateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #line = new Set<string>();
  #room: number;
  #since: number;

  /** `burst`: how many calls may come at once after a quiet time. */
  constructor(
    { perSecond, burst }: { perSecond: number; burst: number },
    now = performance.now(),
  ) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#room = burst;
    this.#since = now;
  }

  /** The whole seconds that `caller` has to wait; 0: it may go ahead. */
  enter(caller: string, now = performance.now()): number {
    const refill = (now - this.#since) / 1000 * this.#perSecond;
    this.#room = Math.min(this.#burst, this.#room + refill);
    this.#since = now;
    if (this.#room >= 1) {
      this.#room -= 1;
      this.#line.delete(caller);
      return 0;
    }
    // Who comes too early goes to the end of the line.
    this.#line.delete(caller);
    this.#line.add(caller);
    return Math.ceil(this.#line.size / this.#perSecond);
  }
}
