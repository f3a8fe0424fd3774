import CAscend
import Testing

/// A graph of one attention whose lengths can be replaced: it waits for an event that says they were.
struct Captured {
    let attention: Attention
    let graph: aclmdlRI?
    let group: aclrtTaskGrp?
    let event: aclrtEvent?
    let other: aclrtStream?
    let workspace: UnsafeMutableRawPointer?
    let size: UInt64

    init(_ machine: Machine) throws {
        attention = try Attention(machine, ends: [1, 2], lengths: [20, 33], table: [[2, 0, 1], [4, 1, 3]])
        let attention = attention
        var (event, other, graph, group): (aclrtEvent?, aclrtStream?, aclmdlRI?, aclrtTaskGrp?)
        try machine.check(machine.runtime.aclrtCreateStream(&other))
        try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, UInt32(ACL_EVENT_EXTERNAL)))
        let (size, executor) = try machine.plan { attention.plan(machine, $0, $1) }
        workspace = try machine.allocate(Int(size))
        try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
        try machine.check(machine.runtime.aclrtStreamWaitEvent(machine.stream, event))
        try machine.check(machine.runtime.aclrtResetEvent(event, machine.stream))
        try machine.check(machine.runtime.aclmdlRICaptureTaskGrpBegin(machine.stream))
        try machine.check(
            machine.operators.aclnnFusedInferAttentionScoreV3(workspace, size, executor, machine.stream))
        try machine.check(machine.runtime.aclmdlRICaptureTaskGrpEnd(machine.stream, &group))
        try machine.check(machine.runtime.aclmdlRICaptureEnd(machine.stream, &graph))
        (self.event, self.other, self.graph, self.group, self.size) = (event, other, graph, group, size)
    }

    /// Replays with other lengths.
    func replay(_ machine: Machine, lengths: [Int]) throws {
        try machine.check(machine.runtime.aclmdlRIExecuteAsync(graph, machine.stream))
        try machine.check(machine.runtime.aclmdlRICaptureTaskUpdateBegin(other, group))
        let (size, executor) = try machine.plan { attention.plan(machine, lengths: lengths, $0, $1) }
        try #require(size <= self.size)
        try machine.check(machine.operators.aclnnFusedInferAttentionScoreV3(workspace, size, executor, other))
        try machine.check(machine.runtime.aclmdlRICaptureTaskUpdateEnd(other))
        try machine.check(machine.runtime.aclrtRecordEvent(event, other))
        try machine.synchronize()
    }
}

extension SimulatorTests {
    @Suite struct GraphTests {
        @Test func capturedTasksRunOnlyWhenReplayed() throws {
            let machine = try Machine()
            let place = try machine.upload([1, 2, 3, 4] as [Int32])
            var graph: aclmdlRI?
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
            try machine.check(machine.runtime.aclrtMemsetAsync(place, 16, 0, 16, machine.stream))
            try machine.check(machine.runtime.aclmdlRICaptureEnd(machine.stream, &graph))
            try machine.synchronize()
            #expect(try machine.download(place, 4, Int32(0)) == [1, 2, 3, 4])
            try machine.check(machine.runtime.aclmdlRIExecuteAsync(graph, machine.stream))
            try machine.synchronize()
            #expect(try machine.download(place, 4, Int32(9)) == [0, 0, 0, 0])
            try machine.check(machine.runtime.aclmdlRIDestroy(graph))
        }

        @Test func aReplayWaitsForItsUpdatesAndUsesThem() throws {
            let machine = try Machine()
            let captured = try Captured(machine)
            for lengths in [[20, 33], [48, 1], [5, 40]] {
                try captured.replay(machine, lengths: lengths)
                #expect(
                    difference(try machine.read(captured.attention.out), captured.attention.expected(lengths: lengths))
                        < 1 / 256)
            }
        }

        @Test func aStreamThatIsWaitedForBelongsToTheGraph() throws {
            let machine = try Machine()
            let place = try machine.upload([1, 2] as [Int32])
            var (fork, join, other, graph): (aclrtEvent?, aclrtEvent?, aclrtStream?, aclmdlRI?)
            try machine.check(machine.runtime.aclrtCreateStream(&other))
            try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&fork, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&join, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
            try machine.check(machine.runtime.aclrtRecordEvent(fork, machine.stream))
            try machine.check(machine.runtime.aclrtStreamWaitEvent(other, fork))
            try machine.check(machine.runtime.aclrtMemsetAsync(place, 8, 0, 8, other))
            try machine.check(machine.runtime.aclrtRecordEvent(join, other))
            try machine.check(machine.runtime.aclrtStreamWaitEvent(machine.stream, join))
            try machine.check(machine.runtime.aclmdlRICaptureEnd(machine.stream, &graph))
            try machine.check(machine.runtime.aclrtMemsetAsync(place, 8, 1, 4, machine.stream))
            try machine.synchronize()
            #expect(try machine.download(place, 2, Int32(0)) == [0x0101_0101, 2])
            try machine.check(machine.runtime.aclmdlRIExecuteAsync(graph, machine.stream))
            try machine.synchronize()
            #expect(try machine.download(place, 2, Int32(9)) == [0, 0])
        }

        @Test func releasesExportWhatTheyHave() throws {
            let old = try Machine(["CANN": "8.1"])
            #expect(old.operators.aclnnFusedInferAttentionScoreV3 != nil)
            #expect(old.operators.aclnnFusedInferAttentionScoreV4 == nil)
            #expect(old.operators.aclnnScatterPaKvCacheGetWorkspaceSize == nil)
            let new = try Machine(["CANN": "9.1"])
            #expect(new.operators.aclnnFusedInferAttentionScoreV4 != nil)
            #expect(new.operators.aclnnApplyTopKTopP != nil)
        }
    }
}
