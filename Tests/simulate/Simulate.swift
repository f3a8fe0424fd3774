import Glibc
import SimulationKit

/// Runs worlds and stops at the first that does what no world may do:
///
///     simulate [--seed FIRST] [--seeds COUNT] [--seconds LIMIT] [--kind cuts] [--canary NAME] [--trace yes]
///
/// Exits with 1 after a violation, having printed it and how to repeat it. A trap prints its seed too.
@main
struct Simulate {
    static func main() throws {
        makeHashingRepeatable()
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            print("simulate: \(error.text)")
            exit(2)
        }
        announceTraps()
        var summary = Summary()
        let start = ContinuousClock.now
        for seed in options.first..<options.first + options.count {
            if let seconds = options.seconds, ContinuousClock.now - start > .seconds(seconds) { break }
            seedAtWork = seed
            let outcome = try World(seed: seed, kind: options.kind, canary: options.canary).run()
            if !outcome.violations.isEmpty || options.trace { report(seed, outcome, options) }
            if !outcome.violations.isEmpty { exit(1) }
            summary.add(outcome)
            // One world in a hundred, and the only one, runs twice: the same seed is the same history.
            if seed.isMultiple(of: 100) || options.count == 1 { try repeatWorld(seed, outcome, options) }
        }
        print(summary.text(after: ContinuousClock.now - start))
    }

    private static func repeatWorld(_ seed: UInt64, _ outcome: World.Outcome, _ options: Options) throws {
        let again = try World(seed: seed, kind: options.kind, canary: options.canary).run()
        guard again.hash != outcome.hash else { return }
        print("seed \(seed): the same seed gave two histories, of \(outcome.steps) and \(again.steps) steps")
        exit(1)
    }

    private static func report(_ seed: UInt64, _ outcome: World.Outcome, _ options: Options) {
        if options.trace { print(outcome.tail.joined(separator: "\n")) }
        print("seed \(seed), \(outcome.steps) steps, history \(outcome.hash), faults: \(outcome.faults)")
        for violation in outcome.violations { print("  \(violation)") }
        if !outcome.violations.isEmpty {
            print("repeat with: swift run -c release simulate --seed \(seed) --seeds 1 --trace yes")
        }
    }

    /// Dictionaries are walked in the order of hashes that differ from process to process, unless this is in the
    /// environment from the start.
    private static func makeHashingRepeatable() {
        let name = "SWIFT_DETERMINISTIC_HASHING"
        guard getenv(name) == nil else { return }
        setenv(name, "1", 1)
        execv("/proc/self/exe", CommandLine.unsafeArgv)
        perror("simulate: cannot start itself anew")
        exit(2)
    }
}

/// For the handler of traps, which can be given nothing.
nonisolated(unsafe) private var seedAtWork: UInt64 = 0  // one thread

/// A broken precondition ends the process: then at least say where.
private func announceTraps() {
    for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE] {
        signal(number) { number in
            let text = "N8: seed \(seedAtWork) trapped; repeat with: simulate --seed \(seedAtWork) --seeds 1\n"
            _ = text.withCString { write(1, $0, strlen($0)) }
            signal(number, SIG_DFL)
            raise(number)
        }
    }
}

/// The command line.
private struct Options {
    var first: UInt64 = 1
    var count: UInt64 = .max >> 1
    var seconds: Int?
    var kind: FaultSwarm.Kind?
    var canary: Canary?
    var trace = false

    init(_ arguments: ArraySlice<String>) throws(UsageError) {
        var arguments = arguments
        while let name = arguments.popFirst() {
            guard let value = arguments.popFirst() else { throw UsageError(text: "\(name) needs a value") }
            switch name {
            case "--seed": first = try Self.number(value, name)
            case "--seeds": count = try Self.number(value, name)
            case "--seconds": seconds = Int(try Self.number(value, name))
            case "--canary":
                canary = Canary(rawValue: value)
                if canary == nil { throw UsageError(text: "canaries are \(Canary.allCases)") }
            case "--kind": kind = value == "cuts" ? .cuts : nil
            case "--trace": trace = value == "yes"
            default: throw UsageError(text: "unknown option \(name)")
            }
        }
        if count == .max >> 1, seconds == nil { count = 1_000 }
    }

    private static func number(_ text: String, _ name: String) throws(UsageError) -> UInt64 {
        guard let number = UInt64(text), number < .max >> 1 else { throw UsageError(text: "\(name) takes a number") }
        return number
    }
}

private struct UsageError: Error {
    var text: String
}

/// What many worlds came to.
private struct Summary {
    private var worlds = 0
    private var steps = 0
    private var completed = 0
    private var preemptions = 0
    private var virtualSeconds: Double = 0
    private var strikes: [Fault: Int] = [:]

    mutating func add(_ outcome: World.Outcome) {
        worlds += 1
        steps += outcome.steps
        completed += outcome.completed
        preemptions += outcome.preemptions
        virtualSeconds += Double(outcome.duration) / 1e9
        strikes.merge(outcome.strikes, uniquingKeysWith: +)
    }

    func text(after duration: Duration) -> String {
        let seconds = duration / .seconds(1)
        let table = Fault.allCases.map { "\($0) \(strikes[$0] ?? 0)" }.joined(separator: ", ")
        return """
            \(worlds) worlds, \(steps) steps, \(completed) whole answers, \(preemptions) preemptions in \(Int(seconds)) s: \
            \(Int(Double(worlds) / seconds)) worlds a second, \(Int(virtualSeconds / seconds)) times real time
            faults: \(table)
            """
    }
}
