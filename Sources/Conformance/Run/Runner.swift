/// Runs cases one after the other against a server.
package struct Runner {
    private let target: Target
    /// Whether a recommendation that is not followed counts as a failure.
    private let isStrict: Bool
    private let shared = Shared()

    /// A runner against one server.
    package init(_ target: Target, isStrict: Bool) {
        self.target = target
        self.isStrict = isStrict
    }

    /// What became of a case.
    package enum Verdict: Equatable {
        /// As the page says.
        case passed
        /// As the page says, but for a recommendation.
        case notStrict(String)
        /// Not as the page says.
        case failed(String)
        /// Not tried.
        case skipped(String)
    }

    /// A case that was run.
    package struct Result {
        /// Which.
        package let `case`: Case
        /// What became of it.
        package let verdict: Verdict
        /// How the server ended the connection: "clean", "abrupt" (TLS without close_notify), "reset" or "hang"; nil when the case did not watch for it.
        package let closing: String?
        /// How long it took.
        package let duration: Duration
    }

    /// Connects once, so that a server that is not there is told once.
    ///
    /// - Returns: why it cannot be reached; nil when it can.
    package func reasonUnreachable() -> String? {
        do {
            _ = try Line(target)
            return nil
        } catch Stop.failed(let reason) {
            return reason
        } catch {
            return "\(error)"
        }
    }

    /// Runs the cases, those that make the server go away last.
    ///
    /// - Parameter report: told of each result as it comes.
    package func run(_ cases: [Case], report: (Result) throws -> Void) rethrows -> [Result] {
        var results: [Result] = []
        for `case` in cases.filter({ !$0.drains }) + cases.filter(\.drains) {
            let result = run(`case`)
            try report(result)
            results.append(result)
        }
        return results
    }

    private func run(_ case: Case) -> Result {
        let lab = Lab(target, shared)
        var verdict = Verdict.passed
        let duration = ContinuousClock().measure {
            do {
                try `case`.body(lab)
                try lab.settle()
            } catch Stop.skipped(let reason) {
                verdict = .skipped(reason)
            } catch Stop.notStrict(let reason) {
                verdict = .notStrict(reason)
            } catch Stop.failed(let reason) {
                verdict = `case`.isRecommendation ? .notStrict(reason) : .failed(reason)
            } catch {
                verdict = .failed("\(error)")
            }
        }
        if isStrict, case .notStrict(let reason) = verdict { verdict = .failed(reason) }
        return Result(case: `case`, verdict: verdict, closing: lab.closing?.rawValue, duration: duration)
    }
}
