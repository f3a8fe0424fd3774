import LMSupport
import ProgramKit
import Testing

/// Simulated worlds: both ends, the scheduler and a network that misbehaves, in one thread from one seed; see
/// Tests/SimulationKit. `LM_SIM_SEED` chooses the first seed and `LM_SIM_SEEDS` their number; without the latter, as many
/// as fit a few seconds.
@Suite(.timeLimit(.minutes(60))) struct SimulationTests {
    private func simulate(_ arguments: [String]) throws -> ChildProcess.Outcome {
        let child = try ChildProcess(Programs.path("simulate"), arguments)
        return try child.finish(within: .seconds(3_600))
    }

    @Test("no world does what none may do, and the same seed is the same history")
    func worlds() throws {
        var arguments = ["--seed", environmentValue("LM_SIM_SEED") ?? "1"]
        if let count = environmentValue("LM_SIM_SEEDS") {
            arguments += ["--seeds", count]
        } else {
            arguments +=
                environmentValue("LM_SIM_SEED") == nil ? ["--seconds", "15"] : ["--seeds", "1", "--trace", "yes"]
        }
        let outcome = try simulate(arguments)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        print(outcome.output)
    }

    @Test("connections killed at any byte: every answer is that of an uninterrupted run")
    func killedConnections() throws {
        let outcome = try simulate(["--kind", "cuts", "--seeds", environmentValue("LM_SIM_SEEDS") ?? "100"])
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        print(outcome.output)
    }

    @Test("planted mistakes are found", arguments: ["foreignToken", "repeatedBytes", "lostBytes"])
    func canaries(name: String) throws {
        let outcome = try simulate(["--seeds", "100", "--canary", name])
        #expect(outcome.status == 1 && outcome.output.contains("repeat with"), "\(outcome.output)\(outcome.errors)")
    }
}
