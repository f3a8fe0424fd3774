import Glibc
import LMClient
import LMEngine
import LMServer
import LMTransport
import TestKit
import Testing

/// The n-th system call fails, for every n, in every way that its manual page names.
///
/// Whatever fails: nothing traps, nothing hangs, no descriptor is left open or closed twice, every request ends with its
/// whole answer or one typed error, the engine is idle afterwards, and the server answers the next request.
///
/// `LM_TORTURE=all` fails every call of every scenario in every way; else an even choice of them. `LM_TORTURE=trace` does
/// the same and names each failure before it happens, to find the one that trapped.
@Suite("The n-th system call fails", .serialized, .timeLimit(.minutes(60))) struct TortureTests {
    private static let mode = getenv("LM_TORTURE").map { String(cString: $0) }
    /// Failures of one scenario in the short form.
    private static let shortRuns = 24

    @Test("for every n", arguments: Scenario.all) func torture(scenario: Scenario) async {
        let undisturbed = await Run(scenario, on: .server, nil)
        undisturbed.problems.forEach { Issue.record("undisturbed: \($0)") }
        guard undisturbed.problems.isEmpty else { return }
        let faults = Stage.Side.allCases.flatMap { side in
            undisturbed.counts(of: side).sorted { $0.key.rawValue < $1.key.rawValue }.flatMap { call, count in
                (1...count).flatMap { number in
                    call.failures.map { (side, FailingSystem.Fault(call: call, number: number, failure: $0)) }
                }
            }
        }
        let stride = Self.mode == nil ? max(1, faults.count / Self.shortRuns) : 1
        let chosen = Swift.stride(from: 0, to: faults.count, by: stride).map { faults[$0] }
        var (hits, failures) = (0, 0)
        for await (side, fault, run) in performances(of: scenario, chosen, expecting: undisturbed.outcomes) {
            run.problems.forEach { Issue.record("the \(side)'s \(fault): \($0)") }
            if run.hasFailed { hits += 1 }
            if run.outcomes.contains(where: { if case .failed = $0 { true } else { false } }) { failures += 1 }
        }
        let runs = chosen.count
        #expect(hits > runs / 4, "a failure that does not happen tests nothing")
        print("\(scenario.name): \(runs) of \(faults.count) failures, \(hits) happened, \(failures) reached a client")
    }

    /// The scenario once with each fault, some at a time: most of a performance is waiting.
    private func performances(
        of scenario: Scenario, _ faults: [(Stage.Side, FailingSystem.Fault)], expecting expected: [Outcome]
    ) -> AsyncStream<(Stage.Side, FailingSystem.Fault, Run)> {
        let width = Self.mode == "trace" ? 1 : 8
        return AsyncStream { stream in
            Task {
                await withTaskGroup(of: Void.self) { group in
                    for (index, (side, fault)) in faults.enumerated() {
                        if index >= width { await group.next() }
                        group.addTask {
                            if Self.mode == "trace" { trace("\(scenario.name), the \(side)'s \(fault)") }
                            let run = await Run(scenario, on: side, fault, expecting: expected)
                            stream.yield((side, fault, run))
                        }
                    }
                }
                stream.finish()
            }
        }
    }
}

/// A millisecond in which other performances go on.
private func pause() async { try? await Task.sleep(for: .milliseconds(1)) }

/// Prints a line that is out before the next one can trap.
private func trace(_ line: String) {
    print(line)
    fflush(nil)
}

/// One performance of a scenario and what was wrong with it.
struct Run {
    private(set) var outcomes: [Outcome] = []
    private(set) var problems: [String] = []
    private let systems: [Stage.Side: FailingSystem]

    /// Whether the call that was to fail was made.
    var hasFailed: Bool { systems.values.contains { $0.hasFailed } }

    func counts(of side: Stage.Side) -> [FailingSystem.Call: Int] { systems[side]?.counts ?? [:] }

    /// - Parameter expected: the outcomes without failures; nil when this performance is to find them.
    init(
        _ scenario: Scenario, on side: Stage.Side, _ fault: FailingSystem.Fault?, expecting expected: [Outcome]? = nil
    ) async {
        let server = FailingSystem(side == .server ? fault : nil)
        let client = FailingSystem(side == .client ? fault : nil)
        systems = [.server: server, .client: client]
        await perform(scenario, server, client, expected)
        for (side, system) in systems {
            // Threads that have ended may still be giving up what they held.
            for _ in 0..<5_000 where !system.open.isEmpty { await pause() }
            if !system.open.isEmpty { problems.append("the \(side) left \(system.open.count) descriptors open") }
            problems += system.misuse.map { "the \(side): \($0)" }
        }
    }

    private mutating func perform(
        _ scenario: Scenario, _ server: FailingSystem, _ client: FailingSystem, _ expected: [Outcome]?
    ) async {
        let stage: Stage
        do {
            stage = try Stage(
                scenario.link, server: server, client: client, configure: scenario.configure, pause: scenario.pause)
        } catch {
            if !(error is ServerError || error is LMError || error is TransportError) || expected == nil {
                problems.append("starting failed with \(error)")
            }
            return
        }
        if let played = await Self.withinTime({ await scenario.play(stage) }) {
            outcomes = played
            judge(scenario, expected)
        } else {
            problems.append("a request hangs")
        }
        if scenario.survives {
            let again = await Self.withinTime { await Self.askAgain(stage) }
            if again != true { problems.append("the server does not answer afterwards") }
        }
        if await !Self.isIdle(stage.engine) { problems.append("the engine is busy with \(stage.engine.statistics())") }
        stage.clear()
    }

    private mutating func judge(_ scenario: Scenario, _ expected: [Outcome]?) {
        let admitted = scenario.admits.union([.unreachable, .connectionLost, .tls])
        for (index, outcome) in outcomes.enumerated() {
            switch outcome {
            case .answered:
                if let expected, outcome != expected[index] { problems.append("another answer: \(outcome)") }
            case .failed(let code) where expected == nil: problems.append("request \(index) failed with \(code)")
            case .failed(let code):
                if !admitted.contains(code) { problems.append("request \(index) failed with \(code)") }
            }
        }
        if let expected, expected.count != outcomes.count { problems.append("\(outcomes.count) outcomes") }
    }

    /// Asks until there is an answer: the failure may have waited for this request.
    private static func askAgain(_ stage: Stage) async -> Bool {
        for _ in 0..<3 {
            if case .answered = await stage.ask(tokens: 2) { return true }
        }
        return false
    }

    private static func isIdle(_ engine: InferenceEngine) async -> Bool {
        for _ in 0..<20_000 {
            let statistics = engine.statistics()
            if statistics.running + statistics.waiting + statistics.parked == 0, statistics.blocksOwned == 0 {
                return true
            }
            await pause()
        }
        return false
    }

    /// Nil when `body` takes more than half a minute.
    private static func withinTime<Value: Sendable>(_ body: @escaping @Sendable () async -> Value) async -> Value? {
        await withTaskGroup(of: Value?.self) { group in
            group.addTask { await body() }
            group.addTask {
                try? await Task.sleep(for: .seconds(30))
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }
}
