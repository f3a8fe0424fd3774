internal import LMClient
internal import LMEngine
internal import LMServer
internal import LMTransport
internal import TestKit

/// One seed's world: a server with its engine, clients, a network and a machine, all in one thread and on one clock.
///
/// The programs are the real ones. Replaced are the system calls, the clock, the randomness, the model and the threads:
/// whoever could run next runs in an order drawn from the seed.
package final class World: @unchecked Sendable {  // one thread: the caller's
    /// What a world came to.
    package struct Outcome: Sendable {
        package var violations: [String]
        package var hash: UInt64
        package var steps: Int
        package var tail: [String]
        package var faults: String
        /// Requests that ended with their whole answer.
        package var completed: Int
        package var strikes: [Fault: Int]
        package var preemptions: Int
        /// Virtual nanoseconds.
        package var duration: UInt64
    }

    let seed: UInt64
    let time: VirtualTime
    let faults: FaultSwarm
    let log: EventLog
    let violations = Violations()
    let oracle = Oracle()
    let executor: SimulatedExecutor
    let scenario: Scenario
    let system: SimulatedSystem
    let tap: WireTap
    private let network: Network
    private let backend: FakeBackend
    private var random: TestRandom

    private var engine: InferenceEngine?
    private var server: InferenceServer?
    private var loops: [EventLoop] = []
    private var clients: [SimulatedClient] = []
    private var engineDue: UInt64? = 0
    private var engineIsNudged = true
    private var engineBusyUntil: UInt64 = 0
    /// Until when loops stand still, and how many turns they had in a row without effect; by poller.
    private var frozen: [Int32: UInt64] = [:]
    private var idleTurns: [Int32: Int] = [:]
    private var preemptions = 0
    private var completed = 0
    private(set) var isDraining = false
    private let start: UInt64
    private(set) var steps = 0

    /// Virtual time in which a world that behaves must have ended everything: the longest wait there is, a dead peer's
    /// keep-alive, with room.
    private static let patience = 300 * second
    /// More steps than any world needs.
    private static let stepLimit = 3_000_000

    /// - Parameter canary: a planted mistake that must be found.
    package init(seed: UInt64, kind: FaultSwarm.Kind? = nil, canary: Canary? = nil) throws {
        self.seed = seed
        var seeds = TestRandom(seed: seed)
        start = 1_000 * second + seeds.next() % second
        let time = VirtualTime(start: start)
        let faults = FaultSwarm(seed: seeds.next(), kind: kind)
        self.time = time
        self.faults = faults
        log = EventLog(time: time)
        executor = SimulatedExecutor(seed: seeds.next())
        scenario = Scenario(seed: seeds.next(), faults: faults)
        tap = WireTap(
            time: time, graceOfResumption: scenario.server.limits.resumeGrace, isPatient: faults.has(.freeze), oracle,
            violations)
        network = Network(time: time, faults: faults, log: log, tap: tap, canary: canary)
        system = SimulatedSystem(seed: seeds.next(), time: time, faults: faults, log: log, network: network)
        random = TestRandom(seed: seeds.next())
        backend = Self.makeBackend(faults, canary, tap, violations)
        try build(engineSeed: seeds.next(), clientSeed: seeds.next())
    }

    private static func makeBackend(
        _ faults: FaultSwarm, _ canary: Canary?, _ tap: WireTap, _ violations: Violations
    ) -> FakeBackend {
        var script = FakeBackend.Script()
        script.choose = { task in
            let index = task.outputPosition
            if faults.strikes(.nonFinite, oneIn: 2_000) { return StepResult.nonFinite }
            guard let seed = task.parameters.seed else { return StepResult.nonFinite }
            if let reason = tap.reasonNotToCompute(seed: seed, index: index) {
                violations.add("token \(index) is computed, \(reason)")
            }
            if canary == .foreignToken, index == 7 { return Oracle.token(seed: seed &+ 1, index: index) }
            return Oracle.token(seed: seed, index: index)
        }
        script.willExecute = { (_) throws(EngineError) in
            if faults.strikes(.step, oneIn: 200) { throw EngineError(.backend, "the simulated device failed") }
        }
        return FakeBackend(vocabularySize: Oracle.tokenizer.vocabularySize, script: script)
    }

    private func build(engineSeed: UInt64, clientSeed: UInt64) throws {
        let model = ModelConfiguration.fake(
            vocabularySize: Oracle.tokenizer.vocabularySize, contextLength: scenario.contextLength)
        let engine = try InferenceEngine(
            backend: backend, tokenizer: Oracle.tokenizer, model: model, options: scenario.options,
            clock: MonotonicClock { [time] in time.now }, seed: engineSeed)
        let served = ServedModel(
            name: "fake", engine: engine, tokenizer: Oracle.tokenizer, configuration: model, template: nil,
            format: "none", device: "simulated")
        loops = try (0..<scenario.ioLoops).map { try EventLoop(name: "io-\($0)", system: system) }
        server = try InferenceServer(model: served, configuration: scenario.server, on: loops)
        self.engine = engine
        var seeds = TestRandom(seed: clientSeed)
        clients = try (0..<scenario.clients).map { try SimulatedClient(number: $0, seed: seeds.next(), world: self) }
    }

    // MARK: - The run

    /// Chaos, then a world that behaves: everything must end, and what is asked then must be answered.
    package func run() -> Outcome {
        for client in clients { client.start() }
        if let drainAt = scenario.drainAt { time.schedule(after: drainAt) { [self] in drain() } }
        time.schedule(after: scenario.healAt) { [self] in heal() }
        runUntil("all requests have ended") { self.clients.allSatisfy(\.isDone) && !self.faults.isChaos }
        if violations.found.isEmpty { settle() }
        if violations.found.isEmpty, !isDraining { probe() }
        if violations.found.isEmpty { end() }
        return outcome()
    }

    private func heal() {
        log.note("heal")
        faults.heal()
        network.heal()
    }

    private func drain() {
        guard !isDraining else { return }
        log.note("drain")
        isDraining = true
        server?.startDraining()
        time.schedule(after: scenario.server.limits.drainTimeout * millisecond) { [self] in server?.endConnections() }
    }

    /// Lets both ends notice every connection that is dead: then nothing may be left of any request, although the
    /// connections that live are still there.
    private func settle() {
        let moment = time.now + 200 * second
        runUntil("dead connections are noticed") { self.time.now >= moment }
        if !engineIsEmpty { violations.add("N4: the engine still has requests, and nobody waits for them") }
    }

    private var engineIsEmpty: Bool {
        guard let statistics = engine?.statistics() else { return true }
        return statistics.running + statistics.waiting + statistics.parked + statistics.blocksOwned == 0
    }

    private func probe() {
        let before = clients.reduce(0) { $0 + $1.completed }
        // One after the other: an engine of a few requests has room for each.
        for client in clients {
            client.startProbe()
            runUntil("the last question of client \(client.number) has been answered") { client.isDone }
        }
        let answered = clients.reduce(0) { $0 + $1.completed } - before
        if violations.found.isEmpty, answered != clients.count {
            violations.add("\(answered) of \(clients.count) last questions were answered whole")
        }
    }

    /// Ends the programs one after the other; nothing may be left of them.
    private func end() {
        completed = clients.reduce(0) { $0 + $1.completed }
        for client in clients { client.shutDown() }
        runUntil("the engine is empty") { self.engineIsEmpty }
        drain()
        runUntil("the server is empty") { self.server?.connectionCount == 0 }
        server?.stop()
        preemptions = engine?.statistics().preemptions ?? 0
        engine?.shutdown()
        clients = []
        server = nil
        engine = nil
        loops = []
        time.removeAll()
        network.removeAll()
        for descriptor in system.openDescriptors { violations.add("N5: descriptor \(descriptor) is left open") }
    }

    private func outcome() -> Outcome {
        Outcome(
            violations: violations.found, hash: log.hash, steps: steps, tail: log.tail, faults: faults.description,
            completed: completed, strikes: faults.strikes,
            preemptions: preemptions, duration: time.now - start)
    }

    // MARK: - Steps

    private enum Actor {
        case task
        case engine
        case loop(EventLoop, isServer: Bool)
    }

    private func runUntil(_ what: String, _ condition: () -> Bool) {
        let healed = faults.isChaos ? scenario.healAt : 0
        let deadline = time.now + healed + Self.patience
        while !condition(), violations.found.isEmpty {
            if time.now > deadline {
                return violations.add("liveness: not within \(Self.patience / second) s: \(what)")
            }
            if steps > Self.stepLimit { return violations.add("liveness: \(steps) steps, and not yet: \(what)") }
            guard step() else { return violations.add("liveness: nothing will ever happen, and not yet: \(what)") }
        }
    }

    /// Runs one of those that can run, or lets time pass until one can.
    private func step() -> Bool {
        time.advance(to: time.now)
        var ready: [Actor] = []
        var next = time.nextMoment() ?? .max
        if executor.hasJob { ready.append(.task) }
        let due = max(engineBusyUntil, engineIsNudged ? 0 : engineDue ?? .max)
        if due <= time.now { ready.append(.engine) } else { next = min(next, due) }
        system.look()
        func consider(_ loop: EventLoop, isServer: Bool) {
            let turn = max(system.nextTurn(of: loop.poller), frozen[loop.poller] ?? 0)
            if turn <= time.now { ready.append(.loop(loop, isServer: isServer)) } else { next = min(next, turn) }
        }
        for loop in loops { consider(loop, isServer: true) }
        for client in clients { if let loop = client.loop { consider(loop, isServer: false) } }
        guard !ready.isEmpty else {
            guard next < .max else { return false }
            time.advance(to: next)
            return true
        }
        steps += 1
        run(ready[random.below(ready.count)])
        time.advance(to: time.now + UInt64(random.below(20)) * microsecond)
        checkInvariants()
        return true
    }

    private func run(_ actor: Actor) {
        switch actor {
        case .task:
            log.note("task")
            executor.runOne()
        case .engine:
            log.note("engine")
            engineIsNudged = false
            engineDue = engine?.turn()
            if engineDue == time.now {
                let slowness: UInt64 = faults.strikes(.slowSteps, oneIn: 10) ? 50 : 1
                engineBusyUntil = time.now + UInt64(random.next() % scenario.stepTime) * slowness
            }
        case .loop(let loop, let isServer):
            log.note("loop", UInt64(loop.poller))
            let before = system.effects
            loop.turn()
            noteEffect(of: loop, system.effects > before)
            if faults.strikes(.freeze, oneIn: 1_000) {
                frozen[loop.poller] = time.now + faults.duration(below: 20 * second)
            }
            // A turn of the server's that did not just fall asleep may have brought the engine something.
            if isServer, system.nextTurn(of: loop.poller) <= time.now { engineIsNudged = true }
        }
    }

    /// A loop that is woken again and again and does nothing about it only heats the room.
    private func noteEffect(of loop: EventLoop, _ hadEffect: Bool) {
        let isAwake = system.nextTurn(of: loop.poller) <= time.now
        idleTurns[loop.poller] = hadEffect || !isAwake ? 0 : (idleTurns[loop.poller] ?? 0) + 1
        if let turns = idleTurns[loop.poller], turns > 1_000 { violations.add("\(loop.name) spins") }
    }

    private func checkInvariants() {
        guard let statistics = engine?.statistics() else { return }
        let sum = statistics.blocksFree + statistics.blocksCached + statistics.blocksOwned
        if sum != statistics.blocksTotal { violations.add("N4: \(sum) of \(statistics.blocksTotal) blocks are known") }
        if statistics.running + statistics.waiting + statistics.parked == 0, statistics.blocksOwned > 0 {
            violations.add("N4: \(statistics.blocksOwned) blocks are owned by nobody")
        }
        if let fault = backend.faults.first { violations.add("N3: the back end found: \(fault)") }
    }

    /// Whether this world gives a request reason to fail like this.
    func explains(_ error: LMError, isAccepted: Bool, timeout: UInt64?, age: UInt64) -> Bool {
        if faults.kind == .cuts {
            // What was not accepted is repeated within a budget that all users of a client share.
            return !isAccepted && [.unreachable, .connectionLost].contains(error.code)
        }
        let network: [Fault] = [
            .stall, .reset, .halfClose, .blackhole, .refuse, .lostConnect, .accept, .impatience, .freeze,
        ]
        switch error.code {
        case .unreachable: return isDraining || network.contains(where: faults.has)
        case .connectionLost: return network.contains(where: faults.has)
        case .deadline: return timeout.map { age >= $0 } ?? (age > 600 * second)
        case .draining: return isDraining || faults.has(.impatience) || scenario.connectionsAreShort
        case .slowConsumer:
            return faults.has(.slowReader) || faults.has(.stall) || faults.has(.freeze) || faults.has(.impatience)
        case .overloaded: return faults.has(.fewRequests)
        case .modelOutput: return faults.has(.nonFinite)
        case .engine: return faults.has(.step)
        case .protocolViolation:
            // Its writer stood still in the middle of a frame, perhaps twice.
            return error.message.contains("a frame is not complete") && (faults.has(.freeze) || faults.has(.stall))
        default: return false
        }
    }
}

/// Mistakes planted to see them found.
package enum Canary: String, CaseIterable, Sendable {
    /// The back end gives a request another's token.
    case foreignToken
    /// The network delivers some bytes twice.
    case repeatedBytes
    /// The network swallows some bytes.
    case lostBytes
}
