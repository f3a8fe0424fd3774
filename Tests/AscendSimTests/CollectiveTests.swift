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
