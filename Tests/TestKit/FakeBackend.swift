package import LMEngine
import Synchronization

/// A back end without a model: its keys and values are the tokens themselves, and the next token is a function of what it
/// finds in the cache through the block table. So a wrong slot, a stale block or a foreign prefix changes the output, as
/// it would with a real model; it is also noted in `faults`.
package final class FakeBackend: Backend {
    /// What the model says after a sequence.
    package enum Output: Sendable {
        /// Logits that are a hash of the sequence.
        case natural
        /// The same, with this token far above all others.
        case token(Int32)
        /// A row with a NaN.
        case nonFinite
    }

    /// Hooks; called on the engine thread.
    package struct Script: Sendable {
        /// What follows the tokens that are in the cache, of which the first `promptLength` are prompt.
        package var output: @Sendable (_ history: [Int32], _ promptLength: Int) -> Output = { _, _ in .natural }
        /// What to report of a row that was written, if anything.
        package var fault: @Sendable (_ token: Int32, _ position: Int32) -> String? = { _, _ in nil }
        /// Yields the next token itself, instead of logits to choose from.
        package var choose: (@Sendable (_ task: SampleTask) -> Int32)?
        /// The hidden state of the last of some tokens.
        package var hiddenState: @Sendable (_ history: [Int32]) -> [Float] = { FakeBackend.hiddenState(after: $0) }
        /// Runs before each step; may block, or throw to fail it.
        package var willExecute: @Sendable (_ plan: borrowing StepPlan) throws(EngineError) -> Void = { _ in }
        /// Runs when the device is to be set up anew; may throw.
        package var willRenew: @Sendable () throws(EngineError) -> Void = {}
        /// Runs when the device is suspected; throws to say that it is at fault.
        package var willExamine: @Sendable () throws(EngineError) -> Void = {}

        package init() {}
    }

    /// What a step held, in few words.
    package struct StepRecord: Sendable {
        package var sequences: Int
        package var rows: Int
        package var samples: Int
    }

    private struct Cell {
        var token: Int32 = -1
        var position: Int32 = -1
        var adapter = -1
    }

    private struct State {
        var cells: [Cell] = []
        var blockSize = 1
        var sampler: Sampler
        var logits: [Float]
        var steps: [StepRecord] = []
        var faults: [String] = []
    }

    private let vocabularySize: Int
    private let script: Script
    private let state: Mutex<State>
    /// What it is at, where a script says so.
    package let vigil: DeviceVigil?

    package init(vocabularySize: Int, script: Script = Script(), vigil: DeviceVigil? = nil) {
        self.vocabularySize = vocabularySize
        self.script = script
        self.vigil = vigil
        state = Mutex(
            State(
                sampler: Sampler(vocabularySize: vocabularySize), logits: [Float](repeating: 0, count: vocabularySize)))
    }

    package var summary: String { "fake" }
    package var keyValueBytesPerToken: Int { Self.bytesPerToken }
    package let adapterCount = 2
    /// What a token takes of the KV pool.
    package static let bytesPerToken = 8
    /// Steps executed so far.
    package var steps: [StepRecord] { state.withLock { $0.steps } }
    /// Plans that contradict themselves or the cache; empty in a sound engine.
    package var faults: [String] { state.withLock { $0.faults } }

    package func allocateKeyValueCache(blockCount: Int, blockSize: Int) throws(EngineError) {
        state.withLock {
            $0.cells = [Cell](repeating: Cell(), count: blockCount * blockSize)
            $0.blockSize = blockSize
        }
    }

    package func renew() throws(EngineError) {
        try script.willRenew()
        forget()
    }

    package func examine() throws(EngineError) {
        do throws(EngineError) {
            try script.willExamine()
        } catch {
            forget()
            throw error
        }
    }

    private func forget() { state.withLock { $0.cells = [Cell](repeating: Cell(), count: $0.cells.count) } }

    package func execute(_ plan: borrowing StepPlan, into result: inout StepResult) throws(EngineError) {
        try script.willExecute(plan)
        result.removeAll()
        let copy = copy plan
        state.withLock { state in
            state.steps.append(
                StepRecord(sequences: copy.sequenceCount, rows: copy.rowCount, samples: copy.samples.count))
            write(copy, &state)
            for row in 0..<copy.rowCount {
                guard let message = script.fault(copy.tokens[row], copy.positions[row]) else { continue }
                result.faults.append(StepResult.Fault(row: Int32(row), message))
            }
            let histories = (0..<copy.sequenceCount).map { read($0, of: copy, &state) }
            for task in copy.samples {
                // Only last rows are sampled: of a row before it the cache holds more than was seen.
                guard let sequence = copy.rowStart.dropFirst().firstIndex(of: task.row + 1) else {
                    state.faults.append("row \(task.row) is sampled, which is the last of no sequence")
                    continue
                }
                let history = histories[sequence - 1]
                if history != task.history { state.faults.append("the cache holds \(history), not \(task.history)") }
                sample(task, after: history, adapter: copy.adapter(of: sequence - 1), &state, into: &result)
            }
            for row in copy.hiddenRows {
                guard let next = copy.rowStart.firstIndex(where: { $0 > row }) else { continue }
                let history = histories[next - 1].prefix(Int(copy.positions[Int(row)]) + 1)
                result.hiddenStates += script.hiddenState(Array(history))
            }
        }
    }

    /// What stands for the hidden state of the last of some tokens: numbers that all of them decide.
    package static func hiddenState(after history: [Int32]) -> [Float] {
        let hash = hash(history)
        return (0..<3).map { Float(CounterRandom.bits(seed: hash, position: $0) >> 40) * 0x1p-24 - 0.5 }
    }

    private static func hash(_ history: [Int32], seed: UInt64 = 0) -> UInt64 {
        history.reduce(seed) { CounterRandom.bits(seed: $0, position: Int($1)) }
    }

    private func write(_ plan: StepPlan, _ state: inout State) {
        if Set(plan.slots).count != plan.slots.count { state.faults.append("two rows write one slot") }
        for sequence in 0..<plan.sequenceCount {
            for row in Int(plan.rowStart[sequence])..<Int(plan.rowStart[sequence + 1]) {
                state.cells[Int(plan.slots[row])] = Cell(
                    token: plan.tokens[row], position: plan.positions[row], adapter: plan.adapter(of: sequence))
            }
        }
    }

    /// The tokens that a sequence's block table leads to.
    private func read(_ sequence: Int, of plan: StepPlan, _ state: inout State) -> [Int32] {
        let length = Int(plan.contextLengths[sequence])
        let table = plan.blockTables[sequence * plan.blockTableStride..<(sequence + 1) * plan.blockTableStride]
        let cells = (0..<length).map { position in
            let block = Int(table[table.startIndex + position / state.blockSize])
            return state.cells[block * state.blockSize + position % state.blockSize]
        }
        if !cells.map(\.position).elementsEqual(0..<Int32(length)) {
            state.faults.append("positions in the cache are \(cells.map(\.position))")
        }
        if cells.contains(where: { $0.adapter != plan.adapter(of: sequence) }) {
            state.faults.append("the cache holds keys and values of another adapter")
        }
        return cells.map(\.token)
    }

    private func sample(
        _ task: SampleTask, after history: [Int32], adapter: Int, _ state: inout State, into result: inout StepResult
    ) {
        if let choose = script.choose {
            result.tokens.append(choose(task))
            result.logprobCounts.append(0)
            return
        }
        let hash = Self.hash(history, seed: UInt64(adapter + 1))
        for token in 0..<vocabularySize {
            let bits = CounterRandom.bits(seed: hash, position: token)
            state.logits[token] = Float(bits >> 40) * 0x1p-24 * 16 - 8
        }
        switch script.output(history, task.promptLength) {
        case .natural: break
        case .token(let token): state.logits[Int(token)] = 1_000
        case .nonFinite: state.logits[vocabularySize / 2] = .nan
        }
        state.logits.withUnsafeMutableBufferPointer { state.sampler.sample($0, task, into: &result) }
    }
}
