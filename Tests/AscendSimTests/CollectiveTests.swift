import CAscend
import Glibc
import Testing

/// Ranks of one communicator, all driven by the test's thread.
private struct Ranks {
    let machine: Machine
    var comms: [HcclComm?]
    var streams: [aclrtStream?] = []

    init(_ count: Int) throws {
        machine = try Machine(["DEVICES": "\(count)"])
        comms = [HcclComm?](repeating: nil, count: count)
        var devices = (0..<count).map { Int32($0) }
        #expect(machine.api.pointee.collectives.HcclCommInitAll(UInt32(count), &devices, &comms) == HCCL_SUCCESS)
        for rank in 0..<count {
            var stream: aclrtStream?
            try set(rank)
            try machine.check(machine.runtime.aclrtCreateStream(&stream))
            streams.append(stream)
        }
    }

    var collectives: asc_collectives { machine.api.pointee.collectives }

    func set(_ rank: Int) throws { try machine.check(machine.runtime.aclrtSetDevice(Int32(rank))) }

    /// Puts values on each device, calls on each, waits for each and reads results.
    func run(
        _ values: [[Float]], results: Int,
        _ call: (Int, UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> HcclResult
    ) throws -> [[Float]] {
        var places: [UnsafeMutableRawPointer] = []
        for rank in values.indices {
            try set(rank)
            let send = try machine.upload(values[rank].map(brain))
            places.append(try machine.allocate(results * 2))
            #expect(call(rank, send, places[rank]) == HCCL_SUCCESS)
        }
        return try values.indices.map { rank in
            try set(rank)
            try machine.check(machine.runtime.aclrtSynchronizeStream(streams[rank]))
            return try machine.download(places[rank], results, UInt16(0)).map { Float(bitPattern: UInt32($0) << 16) }
        }
    }
}

extension SimulatorTests {
    @Suite struct CollectiveTests {
        let values: [[Float]] = [[1, 2, 3, 4], [10, 20, 30, 40]]

        @Test func allReduceAddsOnEveryRank() throws {
            let ranks = try Ranks(2)
            let results = try ranks.run(values, results: 4) { rank, send, receive in
                ranks.collectives.HcclAllReduce(
                    send, receive, 4, HCCL_DATA_TYPE_BFP16, HCCL_REDUCE_SUM, ranks.comms[rank], ranks.streams[rank])
            }
            #expect(results == [[11, 22, 33, 44], [11, 22, 33, 44]])
        }

        @Test func reduceScatterAndAllGatherAreAllReduce() throws {
            let ranks = try Ranks(2)
            let parts = try ranks.run(values, results: 2) { rank, send, receive in
                ranks.collectives.HcclReduceScatter(
                    send, receive, 2, HCCL_DATA_TYPE_BFP16, HCCL_REDUCE_SUM, ranks.comms[rank], ranks.streams[rank])
            }
            #expect(parts == [[11, 22], [33, 44]])
            let whole = try ranks.run(parts, results: 4) { rank, send, receive in
                ranks.collectives.HcclAllGather(
                    send, receive, 2, HCCL_DATA_TYPE_BFP16, ranks.comms[rank], ranks.streams[rank])
            }
            #expect(whole == [[11, 22, 33, 44], [11, 22, 33, 44]])
        }

        @Test func allToAllExchangesParts() throws {
            let ranks = try Ranks(2)
            let results = try ranks.run(values, results: 4) { rank, send, receive in
                ranks.collectives.HcclAlltoAll(
                    send, 2, HCCL_DATA_TYPE_BFP16, receive, 2, HCCL_DATA_TYPE_BFP16, ranks.comms[rank],
                    ranks.streams[rank])
            }
            #expect(results == [[1, 2, 10, 20], [3, 4, 30, 40]])
        }

        /// Rank 0 keeps one and gives three, rank 1 gives one and keeps three; what the second receives is wrong on purpose.
        @Test(arguments: [3, 2])
        func allToAllOfUnequalParts(received: Int) throws {
            let ranks = try Ranks(2)
            let (counts, starts): ([[UInt64]], [[UInt64]]) = ([[1, 3], [1, 3]], [[0, 1], [0, 1]])
            let (wanted, places): ([[UInt64]], [[UInt64]]) = ([[1, 1], [UInt64(received), 3]], [[0, 1], [3, 0]])
            let call = { (rank: Int, send: UnsafeMutableRawPointer, receive: UnsafeMutableRawPointer) in
                ranks.collectives.HcclAlltoAllV(
                    send, counts[rank], starts[rank], HCCL_DATA_TYPE_BFP16, receive, wanted[rank], places[rank],
                    HCCL_DATA_TYPE_BFP16, ranks.comms[rank], ranks.streams[rank])
            }
            guard received == 3 else {
                let failure = #expect(throws: CallFailure.self) { _ = try ranks.run(values, results: 6, call) }
                #expect(failure?.code == 507000)
                return
            }
            let results = try ranks.run(values, results: 6, call)
            #expect(Array(results[0].prefix(2)) == [1, 10])
            #expect(results[1] == [20, 30, 40, 2, 3, 4])
        }

        /// As a program with a thread per rank does it: one makes the root information, all join with it at once.
        @Test func threadsJoinByRootInformationAndReplayGraphs() throws {
            let machine = try Machine(["DEVICES": "2"])
            let api = machine.api.pointee
            var root = HcclRootInfo()
            #expect(api.collectives.HcclGetRootInfo(&root) == HCCL_SUCCESS)
            let results = try onThreads(2) { rank -> [Float] in
                var root = root
                var (comm, stream, graph): (HcclComm?, aclrtStream?, aclmdlRI?)
                var place: UnsafeMutableRawPointer?
                try machine.check(api.runtime.aclrtSetDevice(Int32(rank)))
                #expect(api.collectives.HcclCommInitRootInfo(2, &root, UInt32(rank), &comm) == HCCL_SUCCESS)
                try machine.check(api.runtime.aclrtCreateStream(&stream))
                try machine.check(api.runtime.aclrtMalloc(&place, 64, ACL_MEM_MALLOC_HUGE_FIRST))
                let values = [Float(rank + 1), 10]
                try machine.check(api.runtime.aclrtMemcpy(place, 64, values, 8, ACL_MEMCPY_HOST_TO_DEVICE))
                try machine.check(api.runtime.aclmdlRICaptureBegin(stream, ACL_MODEL_RI_CAPTURE_MODE_RELAXED))
                #expect(
                    api.collectives.HcclAllReduce(
                        place, place, 2, HCCL_DATA_TYPE_FP32, HCCL_REDUCE_SUM, comm, stream) == HCCL_SUCCESS)
                try machine.check(api.runtime.aclmdlRICaptureEnd(stream, &graph))
                for _ in 0..<2 { try machine.check(api.runtime.aclmdlRIExecuteAsync(graph, stream)) }
                try machine.check(api.runtime.aclrtSynchronizeStream(stream))
                var read = [Float](repeating: 0, count: 2)
                try machine.check(api.runtime.aclrtMemcpy(&read, 8, place, 8, ACL_MEMCPY_DEVICE_TO_HOST))
                return read
            }
            #expect(results == [[6, 40], [6, 40]])
        }

        @Test func unequalCallsFailOnEveryRank() throws {
            let ranks = try Ranks(2)
            for rank in 0..<2 {
                try ranks.set(rank)
                let place = try ranks.machine.allocate(64)
                let count = UInt64(4 + rank)
                #expect(
                    ranks.collectives.HcclAllReduce(
                        place, place, count, HCCL_DATA_TYPE_BFP16, HCCL_REDUCE_SUM, ranks.comms[rank],
                        ranks.streams[rank]) == HCCL_SUCCESS)
            }
            for rank in 0..<2 {
                try ranks.set(rank)
                #expect(ranks.machine.runtime.aclrtSynchronizeStream(ranks.streams[rank]) == 507000)
                var error = HCCL_SUCCESS
                _ = ranks.collectives.HcclGetCommAsyncError(ranks.comms[rank], &error)
                #expect(error == HCCL_E_REMOTE)
            }
        }

        @Test func aRankThatLeavesEndsTheWaitOfTheOthers() throws {
            let ranks = try Ranks(2)
            try ranks.set(0)
            let place = try ranks.machine.allocate(64)
            _ = ranks.collectives.HcclAllReduce(
                place, place, 4, HCCL_DATA_TYPE_BFP16, HCCL_REDUCE_SUM, ranks.comms[0], ranks.streams[0])
            _ = ranks.collectives.HcclCommDestroy(ranks.comms[1])
            #expect(ranks.machine.runtime.aclrtSynchronizeStream(ranks.streams[0]) == 507000)
        }
    }
}

/// Runs a body on threads of its own at once, and gives what each returned.
private func onThreads(_ count: Int, _ body: @escaping (Int) throws -> [Float]) throws -> [[Float]] {
    final class Box: @unchecked Sendable {  // The starting thread reads the result once the thread is joined.
        let body: () throws -> [Float]
        var result: Result<[Float], any Error>?
        init(_ body: @escaping () throws -> [Float]) { self.body = body }
    }
    let boxes = (0..<count).map { rank in Box { try body(rank) } }
    var threads: [pthread_t] = []
    for box in boxes {
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let box = Unmanaged<Box>.fromOpaque(argument).takeUnretainedValue()
                box.result = Result { try box.body() }
                return nil
            }, Unmanaged.passUnretained(box).toOpaque())
        threads.append(thread)
    }
    for thread in threads { pthread_join(thread, nil) }
    return try boxes.map { try #require($0.result).get() }
}
