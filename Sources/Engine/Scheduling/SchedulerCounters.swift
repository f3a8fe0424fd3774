/// What the scheduler has done since it was made.
package struct SchedulerCounters: Sendable, Equatable {
    /// Steps committed.
    package var steps = 0
    /// Steps that the back end could not execute.
    package var failedSteps = 0
    /// Rows computed: prompt tokens, output tokens, and both again after a preemption.
    package var rows = 0
    /// Those rows that decoded: the only one of their sequence, beyond its prompt, yielding a token.
    package var decodeRows = 0
    /// Tokens produced.
    package var tokensGenerated = 0
    /// Times a sequence lost its blocks.
    package var preemptions = 0
    /// Requests that have ended, in whatever way.
    package var ended = 0
    /// Tokens that those could have come to.
    package var endedTokens = 0
    /// Requests ended by `cancel`.
    package var cancels = 0
    /// Requests that failed.
    package var failures = 0
    /// Those of them whose numbers were not finite.
    package var nonFinite = 0
}

extension Scheduler {
    /// How many live sequences are in which condition.
    package struct Census: Sendable, Equatable {
        /// Admitted and able to run.
        package var running = 0
        /// Not admitted, able to run.
        package var waiting = 0
        /// Without credit.
        package var parked = 0

        package init(running: Int = 0, waiting: Int = 0, parked: Int = 0) {
            self.running = running
            self.waiting = waiting
            self.parked = parked
        }
    }

    /// Counts the live sequences.
    package var census: Census {
        let running = admitted.count { generations[$0].isRunnable }
        let waiting = waiting.count { generations[$0].isRunnable }
        return Census(running: running, waiting: waiting, parked: generations.count - running - waiting)
    }
}
