internal import CAscend
internal import Glibc

/// Ranks of one communicator: threads of this process, each with a device of its own.
final class CollectiveGroup {
    let name: String
    let size: Int
    /// Devices of the ranks that have joined.
    var devices: [Int: Int] = [:]
    var failure: Failure?
    /// Calls by their number in the order of each rank, until all ranks have made them.
    private var rounds: [Int: Round] = [:]

    /// One collective: what each rank brought.
    final class Round {
        var parts: [Int: Part] = [:]
        var isDone = false
        var clock = 0.0
    }

    struct Part {
        let kind: Collective.Kind
        let send: UnsafeMutableRawPointer
        let receive: UnsafeMutableRawPointer
        let stream: Stream
    }

    init(_ name: String, _ size: Int) {
        self.name = name
        self.size = size
    }

    func round(_ number: Int) -> Round {
        let round = rounds[number] ?? Round()
        rounds[number] = round
        return round
    }

    func forget(_ number: Int) { rounds[number] = nil }
}

/// `HcclComm`: one rank of a group.
final class Communicator {
    let group: CollectiveGroup
    let rank: Int
    /// Collectives that this rank has begun.
    var begun = 0
    init(_ group: CollectiveGroup, _ rank: Int) {
        self.group = group
        self.rank = rank
    }
}

/// A collective call on a stream.
struct Collective {
    enum Kind: Equatable {
        case allReduce(count: Int, type: HcclDataType, operation: HcclReduceOp)
        case allGather(count: Int, type: HcclDataType)
        case reduceScatter(count: Int, type: HcclDataType, operation: HcclReduceOp)
        case broadcast(count: Int, type: HcclDataType, root: Int)
        case allToAll(count: Int, type: HcclDataType)
        /// Elements for each rank and from each, and where they are.
        case allToAllV(send: [Span], receive: [Span], type: HcclDataType)
        case barrier

        /// Whether two ranks may call so at once.
        func agrees(with other: Kind) -> Bool {
            guard case .allToAllV(_, _, let type) = self, case .allToAllV(_, _, let otherType) = other else {
                return self == other
            }
            return type == otherType
        }
    }

    /// A run of elements of a buffer.
    struct Span: Equatable {
        let count: Int
        let start: Int
        var end: Int { start + count }
    }

    let communicator: Communicator
    let kind: Kind
    let send: UInt
    let receive: UInt

    /// Bytes that a rank gives and takes.
    private func bytes(_ size: Int) -> (send: Int, receive: Int) {
        switch kind {
        case .allReduce(let count, let type, _): (count * type.bytes, count * type.bytes)
        case .allGather(let count, let type): (count * type.bytes, size * count * type.bytes)
        case .reduceScatter(let count, let type, _): (size * count * type.bytes, count * type.bytes)
        case .broadcast(let count, let type, _): (count * type.bytes, count * type.bytes)
        case .allToAll(let count, let type): (size * count * type.bytes, size * count * type.bytes)
        case .allToAllV(let send, let receive, let type):
            (
                (send.map(\.end).max() ?? 0) * type.bytes, (receive.map(\.end).max() ?? 0) * type.bytes
            )
        case .barrier: (0, 0)
        }
    }

    /// Meets the other ranks, with the lock held; the last one to come computes for all.
    func perform(on stream: Stream) throws(Failure) {
        if stream.device.failure != nil || stream.failure != nil { return }
        let group = communicator.group
        if let failure = group.failure { throw failure }
        let number = communicator.begun
        communicator.begun += 1
        let round = group.round(number)
        let bytes = bytes(group.size)
        var (from, to) = (UnsafeMutableRawPointer(bitPattern: 64), UnsafeMutableRawPointer(bitPattern: 64))
        if kind != .barrier {
            from = try world.memory.contents(send, bytes.send, device: stream.device.id, "collective, sendBuf")
            to = try world.memory.contents(receive, bytes.receive, device: stream.device.id, "collective, recvBuf")
        }
        guard let from, let to else { return }
        if let other = round.parts.values.first, !other.kind.agrees(with: kind) {
            group.failure = Failure(507000, "ranks of \(group.name) call \(other.kind) and \(kind) at once")
        }
        round.parts[communicator.rank] = CollectiveGroup.Part(kind: kind, send: from, receive: to, stream: stream)
        if round.parts.values.contains(where: \.stream.isEnded) {
            group.failure = Failure(507000, "a rank of \(group.name) has ended its stream")
        }
        round.clock = max(round.clock, stream.clock)
        if group.failure == nil && round.parts.count == group.size {
            let parts = round.parts.sorted { $0.key < $1.key }.map(\.value)
            group.failure = exchange(parts)
            if group.failure == nil { compute(parts) }
            // Rings over HCCS at 30 GB/s each way and 10 us to start: a guess.
            round.clock += 10 + Double(bytes.send + bytes.receive) / 30e3
            round.isDone = true
            group.forget(number)
            world.lock.wakeAll()
        }
        let seconds = world.settings.collectiveTimeout
        let isDone = world.lock.wait(milliseconds: seconds * 1000) {
            round.isDone || group.failure != nil || stream.isEnded
        }
        if stream.isEnded { return }
        if let failure = group.failure {
            world.lock.wakeAll()
            throw failure
        }
        if !isDone {
            group.failure = Failure(507000, "HCCL_E_TIMEOUT: \(group.name) waited \(seconds) s for its other ranks")
            world.lock.wakeAll()
            throw group.failure ?? Failure(507000, "")
        }
        stream.clock = round.clock
    }

    private func compute(_ parts: [CollectiveGroup.Part]) {
        switch kind {
        case .allReduce(let count, let type, let operation):
            let sum = reduce(parts, type, operation, 0, count)
            for part in parts { write(sum, type, part.receive) }
        case .reduceScatter(let count, let type, let operation):
            let sums = parts.indices.map { reduce(parts, type, operation, $0 * count, count) }
            for (part, sum) in zip(parts, sums) { write(sum, type, part.receive) }
        case .allGather(let count, let type):
            let size = count * type.bytes
            for part in parts {
                for (rank, other) in parts.enumerated() { memmove(part.receive + rank * size, other.send, size) }
            }
        case .broadcast(let count, let type, let root):
            for part in parts { memmove(part.receive, parts[root].send, count * type.bytes) }
        case .allToAll(let count, let type):
            let size = count * type.bytes
            for (rank, part) in parts.enumerated() {
                for (peer, other) in parts.enumerated() {
                    memcpy(part.receive + peer * size, other.send + rank * size, size)
                }
            }
        // Moved by `exchange`, where ranks can disagree.
        case .allToAllV, .barrier: break
        }
    }

    /// Parts of unequal length, which both ends must call equal.
    private func exchange(_ parts: [CollectiveGroup.Part]) -> Failure? {
        for (rank, part) in parts.enumerated() {
            guard case .allToAllV(_, let receive, let type) = part.kind else { return nil }
            for (peer, other) in parts.enumerated() {
                guard case .allToAllV(let send, _, _) = other.kind else { return nil }
                let (from, to) = (send[rank], receive[peer])
                guard from.count == to.count else {
                    return Failure(507000, "rank \(peer) sends \(from.count) to rank \(rank), which wants \(to.count)")
                }
                memcpy(
                    part.receive + to.start * type.bytes, other.send + from.start * type.bytes, to.count * type.bytes)
            }
        }
        return nil
    }

    /// In the order of ranks, so that every rank gets equal bits.
    private func reduce(
        _ parts: [CollectiveGroup.Part], _ type: HcclDataType, _ operation: HcclReduceOp, _ start: Int, _ count: Int
    ) -> [Float] {
        var sum: [Float] = []
        for part in parts {
            let values = read(part.send, type, start, count)
            if sum.isEmpty {
                sum = values
                continue
            }
            for index in 0..<count {
                switch operation {
                case HCCL_REDUCE_SUM: sum[index] += values[index]
                case HCCL_REDUCE_PROD: sum[index] *= values[index]
                case HCCL_REDUCE_MAX: sum[index] = max(sum[index], values[index])
                default: sum[index] = min(sum[index], values[index])
                }
            }
        }
        return sum
    }

    private func flat(_ pointer: UnsafeMutableRawPointer, _ type: HcclDataType, _ count: Int) -> View {
        let tensor = Tensor(
            dims: [count], strides: [1], offset: 0, type: type.element, format: ACL_FORMAT_ND, storage: [count],
            address: 0)
        return View(tensor: tensor, base: pointer)
    }

    private func read(_ pointer: UnsafeMutableRawPointer, _ type: HcclDataType, _ start: Int, _ count: Int) -> [Float] {
        flat(pointer + start * type.bytes, type, count).floats()
    }

    private func write(_ values: [Float], _ type: HcclDataType, _ pointer: UnsafeMutableRawPointer) {
        flat(pointer, type, values.count).write(values)
    }
}

extension HcclDataType {
    var element: aclDataType {
        switch self {
        case HCCL_DATA_TYPE_FP16: ACL_FLOAT16
        case HCCL_DATA_TYPE_FP32: ACL_FLOAT
        case HCCL_DATA_TYPE_BFP16: ACL_BF16
        case HCCL_DATA_TYPE_INT8: ACL_INT8
        case HCCL_DATA_TYPE_INT32: ACL_INT32
        case HCCL_DATA_TYPE_INT64: ACL_INT64
        default: ACL_DT_UNDEFINED
        }
    }
    var bytes: Int { element.bytes }
}
