import CAscend
import Glibc

/// x, gamma, y, rstd of a norm that is right.
struct Norm {
    let x: Placed
    let gamma: Placed
    let y: Placed
    let rstd: Placed

    init(_ machine: Machine) throws {
        x = try machine.floats([Float](repeating: 1, count: 128), [2, 64])
        gamma = try machine.floats([Float](repeating: 1, count: 64), [64])
        y = try machine.empty(ACL_BF16, [2, 64])
        rstd = try machine.empty(ACL_FLOAT, [2, 1])
    }

    func plan(
        _ machine: Machine, x other: OpaquePointer? = nil, _ size: UnsafeMutablePointer<UInt64>?,
        _ executor: UnsafeMutablePointer<OpaquePointer?>?
    ) -> aclnnStatus {
        machine.operators.aclnnRmsNormGetWorkspaceSize(
            other ?? x.handle, gamma.handle, 1e-5, y.handle, rstd.handle, size, executor)
    }
}

/// Runs a norm on another input than a right one.
private func normalise(_ machine: Machine, _ x: (Norm) throws -> OpaquePointer?) throws {
    let norm = try Norm(machine)
    let other = try x(norm)
    try machine.run(machine.operators.aclnnRmsNorm) { norm.plan(machine, x: other, $0, $1) }
}

private func multiply(_ machine: Machine, _ a: OpaquePointer?, _ b: OpaquePointer?, _ out: OpaquePointer?) throws {
    try machine.run(machine.operators.aclnnMm) { machine.operators.aclnnMmGetWorkspaceSize(a, b, out, 0, $0, $1) }
}

/// Asks for the largest elements of rows of two.
private func largest(
    _ machine: Machine, _ count: Int, dim: Int64 = -1, sorted: Bool = true, values type: aclDataType = ACL_BF16,
    places placeType: aclDataType = ACL_INT64, room: Int? = nil
) throws {
    let x = try machine.floats([1, 2, 4, 3], [2, 2])
    let values = try machine.empty(type, [2, room ?? count])
    let places = try machine.empty(placeType, [2, room ?? count])
    try machine.run(machine.operators.aclnnTopk) {
        machine.operators.aclnnTopkGetWorkspaceSize(
            x.handle, Int64(count), dim, true, sorted, values.handle, places.handle, $0, $1)
    }
}

/// A tensor must be made, or else the call's reason is thrown.
private func made(_ machine: Machine, _ tensor: OpaquePointer?) throws -> OpaquePointer? {
    if tensor == nil { try machine.check(161002) }
    return tensor
}

extension Misuse {
    static let ofOperators: [Misuse] = [
        Misuse("a tensor of host memory", 507015) { machine in
            let host = aligned_alloc(64, 256)
            defer { free(host) }
            try normalise(machine) { _ in machine.tensor(ACL_BF16, [2, 64], at: host) }
        },
        Misuse("a tensor of NULL", 507015) { machine in
            try normalise(machine) { _ in machine.tensor(ACL_BF16, [2, 64], at: nil) }
        },
        Misuse("a tensor of freed memory", 507015) { machine in
            try normalise(machine) { norm in
                try machine.check(machine.runtime.aclrtFree(norm.x.place))
                return nil
            }
        },
        Misuse("memory that is freed before the stream gets there", 507015, ["DELAY_US": "0"]) { machine in
            var event: aclrtEvent?
            var other: aclrtStream?
            try machine.check(machine.runtime.aclrtCreateStream(&other))
            try machine.check(machine.runtime.aclrtCreateEventWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclrtStreamWaitEvent(machine.stream, event))
            let norm = try Norm(machine)
            try machine.launch(machine.operators.aclnnRmsNorm) { norm.plan(machine, $0, $1) }
            try machine.check(machine.runtime.aclrtFree(norm.x.place))
            try machine.check(machine.runtime.aclrtRecordEvent(event, other))
            try machine.synchronize()
        },
        Misuse("a tensor beyond its allocation", 507015) { machine in
            try normalise(machine) { _ in machine.tensor(ACL_BF16, [2, 64], at: try machine.allocate(128)) }
        },
        Misuse("an address that is not aligned", 161002) { machine in
            try normalise(machine) { norm in machine.tensor(ACL_BF16, [2, 64], at: try machine.allocate(512) + 2) }
        },
        Misuse("a tensor that was destroyed", 161001) { machine in
            try normalise(machine) { norm in
                _ = machine.objects.aclDestroyTensor(norm.x.handle)
                return nil
            }
        },
        Misuse("an input of another type", 161002) { machine in
            try normalise(machine) { _ in
                try machine.floats([Float](repeating: 1, count: 128), [2, 64], ACL_FLOAT).handle
            }
        },
        Misuse("an output of another shape", 161002) { machine in
            try normalise(machine) { _ in try machine.floats([Float](repeating: 1, count: 192), [3, 64]).handle }
        },
        Misuse("a required output left out", 161001) { machine in
            let norm = try Norm(machine)
            try machine.run(machine.operators.aclnnRmsNorm) {
                machine.operators.aclnnRmsNormGetWorkspaceSize(
                    norm.x.handle, norm.gamma.handle, 1e-5, norm.y.handle, nil, $0, $1)
            }
        },
        Misuse("an executor used twice", 561103) { machine in
            let norm = try Norm(machine)
            let (size, executor) = try machine.plan { norm.plan(machine, $0, $1) }
            try machine.check(machine.operators.aclnnRmsNorm(nil, size, executor, machine.stream))
            try machine.check(machine.operators.aclnnRmsNorm(nil, size, executor, machine.stream))
        },
        Misuse("an executor of another operator", 161002) { machine in
            let norm = try Norm(machine)
            let (_, executor) = try machine.plan { norm.plan(machine, $0, $1) }
            try machine.check(machine.operators.aclnnSwiGlu(nil, 0, executor, machine.stream))
        },
        Misuse("a new address for an executor that is not repeatable", 161002) { machine in
            let norm = try Norm(machine)
            let (_, executor) = try machine.plan { norm.plan(machine, $0, $1) }
            try machine.check(machine.objects.aclSetInputTensorAddr(executor, 0, norm.x.handle, norm.y.place))
        },
        Misuse("a new address for a parameter that is not there", 161002) { machine in
            let norm = try Norm(machine)
            let (_, executor) = try machine.plan { norm.plan(machine, $0, $1) }
            try machine.check(machine.objects.aclSetAclOpExecutorRepeatable(executor))
            try machine.check(machine.objects.aclSetInputTensorAddr(executor, 2, norm.x.handle, norm.y.place))
        },
        Misuse("a workspace that is too small", 161002) { machine in
            let a = try machine.floats([Float](repeating: 1, count: 256), [16, 16])
            let out = try machine.empty(ACL_BF16, [16, 16])
            let (size, executor) = try machine.plan {
                machine.operators.aclnnMmGetWorkspaceSize(a.handle, a.handle, out.handle, 0, $0, $1)
            }
            try machine.check(machine.operators.aclnnMm(try machine.allocate(64), size - 1, executor, machine.stream))
        },
        Misuse("a workspace on the host", 507015) { machine in
            let a = try machine.floats([Float](repeating: 1, count: 256), [16, 16])
            let out = try machine.empty(ACL_BF16, [16, 16])
            let (size, executor) = try machine.plan {
                machine.operators.aclnnMmGetWorkspaceSize(a.handle, a.handle, out.handle, 0, $0, $1)
            }
            let host = aligned_alloc(64, Int(size))
            defer { free(host) }
            try machine.check(machine.operators.aclnnMm(host, size, executor, machine.stream))
            try machine.synchronize()
        },
        Misuse("factors that do not fit", 161002) { machine in
            let a = try machine.floats([Float](repeating: 1, count: 64), [4, 16])
            let out = try machine.empty(ACL_BF16, [4, 4])
            try multiply(machine, a.handle, a.handle, out.handle)
        },
        Misuse("factors of two types", 161002) { machine in
            let a = try machine.floats([Float](repeating: 1, count: 256), [16, 16])
            let b = try machine.floats([Float](repeating: 1, count: 256), [16, 16], ACL_FLOAT16)
            try multiply(machine, a.handle, b.handle, try machine.empty(ACL_BF16, [16, 16]).handle)
        },
        Misuse("a view beyond its storage", 161002) { machine in
            let place = try machine.allocate(4096)
            _ = try made(machine, machine.tensor(ACL_BF16, [16, 16], at: place, strides: [32, 1], storage: [256]))
        },
        Misuse("tiles of another width", 161002) { machine in
            let place = try machine.allocate(4096)
            _ = try made(
                machine,
                machine.tensor(ACL_INT8, [32, 32], at: place, format: ACL_FORMAT_FRACTAL_NZ, storage: [2, 2, 16, 16]))
        },
        Misuse("tiles of one row", 161002) { machine in
            let place = try machine.allocate(4096)
            _ = try made(
                machine,
                machine.tensor(ACL_BF16, [1, 32], at: place, format: ACL_FORMAT_FRACTAL_NZ, storage: [2, 1, 16, 16]))
        },
        Misuse("a tensor destroyed that a list owns", 161002) { machine in
            let member = try machine.empty(ACL_BF16, [4])
            _ = machine.list([member])
            try machine.check(machine.objects.aclDestroyTensor(member.handle))
        },
        Misuse("BF16 on 310P", 161002, ["SOC": "Ascend310P3"]) { machine in try normalise(machine) { _ in nil } },
        Misuse("paged attention on 310P", 561003, ["SOC": "Ascend310P3"]) { machine in
            let attention = try Attention(machine, ends: [1], lengths: [1], table: [[0]])
            try machine.run(machine.operators.aclnnFusedInferAttentionScoreV3) { attention.plan(machine, $0, $1) }
        },
        Misuse("a number of key heads on 310P", 161002, ["SOC": "Ascend310P3"]) { machine in
            try Increment(machine, lengths: [1], table: [[0]]).run(machine, groups: 4)
        },
        Misuse("more sequences than 310P takes", 161002, ["SOC": "Ascend310P3"]) { machine in
            let count = 257
            try Increment(
                machine, lengths: [Int](repeating: 1, count: count), table: [[Int]](repeating: [0], count: count)
            ).run(machine)
        },
        Misuse("a length beyond the block table of a last row", 161002) { machine in
            try Increment(machine, lengths: [1, 17], table: [[0], [1]]).run(machine)
        },
        Misuse("an index behind the table", 507015) { machine in
            let table = try machine.floats([Float](repeating: 1, count: 64), [2, 32])
            let rows = machine.tensor(ACL_INT32, [1], at: try machine.upload([2] as [Int32]))
            let out = try machine.empty(ACL_BF16, [1, 32])
            try machine.run(machine.operators.aclnnIndexSelect) {
                machine.operators.aclnnIndexSelectGetWorkspaceSize(table.handle, 0, rows, out.handle, $0, $1)
            }
        },
        Misuse("a block that the cache does not have", 507015) { machine in
            let attention = try Attention(machine, ends: [1], lengths: [17], table: [[0, 5]])
            try machine.run(machine.operators.aclnnFusedInferAttentionScoreV3) { attention.plan(machine, $0, $1) }
        },
        Misuse("ends of rows that are no sums", 161002) { machine in
            let attention = try Attention(machine, ends: [2, 1], lengths: [2, 2], table: [[0], [1]])
            try machine.run(machine.operators.aclnnFusedInferAttentionScoreV3) { attention.plan(machine, $0, $1) }
        },
        Misuse("lengths beyond the block table", 161002) { machine in
            let attention = try Attention(machine, ends: [1], lengths: [17], table: [[0]])
            try machine.run(machine.operators.aclnnFusedInferAttentionScoreV3) { attention.plan(machine, $0, $1) }
        },
        Misuse("an odd last dimension for SwiGlu", 161002) { machine in
            let x = try machine.floats([1, 2, 3], [1, 3])
            let out = try machine.empty(ACL_BF16, [1, 1])
            try machine.run(machine.operators.aclnnSwiGlu) {
                machine.operators.aclnnSwiGluGetWorkspaceSize(x.handle, -1, out.handle, $0, $1)
            }
        },
        Misuse("a scale per token of BF16", 161002) { machine in
            let a = try machine.floats([Float](repeating: 1, count: 64), [2, 32], ACL_INT8)
            let b = try machine.floats([Float](repeating: 1, count: 32 * 16), [32, 16], ACL_INT8)
            let scale = try machine.floats([Float](repeating: 1, count: 16), [16], ACL_FLOAT)
            let tokens = try machine.floats([1, 1], [2])
            let out = try machine.empty(ACL_BF16, [2, 16])
            try machine.run(machine.operators.aclnnQuantMatmulV4) {
                machine.operators.aclnnQuantMatmulV4GetWorkspaceSize(
                    a.handle, b.handle, scale.handle, nil, tokens.handle, nil, false, false, out.handle, $0, $1)
            }
        },
        Misuse("more of the largest than there are", 161002) { try largest($0, 3) },
        Misuse("the largest in no order", 161002) { try largest($0, 2, sorted: false) },
        Misuse("the largest of each column", 161002) { try largest($0, 2, dim: 0) },
        Misuse("the largest in another type", 161002) { try largest($0, 2, values: ACL_FLOAT) },
        Misuse("places of 32 bits", 161002) { try largest($0, 2, places: ACL_INT32) },
        Misuse("room for fewer of the largest", 161002) { try largest($0, 2, room: 1) },
    ]

    static let ofGraphs: [Misuse] = [
        Misuse("capturing the default stream", 107031) { machine in
            try machine.check(machine.runtime.aclmdlRICaptureBegin(nil, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
        },
        Misuse("ending a capture that was not begun", 107036) { machine in
            var graph: aclmdlRI?
            try machine.check(machine.runtime.aclmdlRICaptureEnd(machine.stream, &graph))
        },
        Misuse("synchronising a stream that captures", 107027) { machine in
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_RELAXED))
            try machine.synchronize()
        },
        Misuse("a copy that waits, while a stream captures", 107030) { machine in
            let place = try machine.allocate(64)
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
            _ = try machine.download(place, 4, 0)
        },
        Misuse("allocating while a stream captures", 107030) { machine in
            try machine.check(
                machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL))
            _ = try machine.allocate(64)
        },
        Misuse("waiting in a capture for an event from outside", 107024) { machine in
            var event: aclrtEvent?
            try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
            try machine.check(machine.runtime.aclrtStreamWaitEvent(machine.stream, event))
        },
        Misuse("a stream that joins a capture and is not waited for", 107025) { machine in
            var (event, other, graph): (aclrtEvent?, aclrtStream?, aclmdlRI?)
            try machine.check(machine.runtime.aclrtCreateStream(&other))
            try machine.check(machine.runtime.aclrtCreateEventExWithFlag(&event, UInt32(ACL_EVENT_SYNC)))
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
            try machine.check(machine.runtime.aclrtRecordEvent(event, machine.stream))
            try machine.check(machine.runtime.aclrtStreamWaitEvent(other, event))
            try machine.check(machine.runtime.aclmdlRICaptureEnd(machine.stream, &graph))
        },
        Misuse("ending a capture on another thread", 107038) { machine in
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
            try elsewhere(machine) { machine in
                var graph: aclmdlRI?
                _ = machine.runtime.aclrtSetDevice(0)
                return machine.runtime.aclmdlRICaptureEnd(machine.stream, &graph)
            }
        },
        Misuse("a task group outside of a capture", 107029) { machine in
            try machine.check(machine.runtime.aclmdlRICaptureTaskGrpBegin(machine.stream))
        },
        Misuse("a copy in a task group", 507009) { machine in
            let place = try machine.allocate(64)
            try machine.check(machine.runtime.aclmdlRICaptureBegin(machine.stream, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL))
            try machine.check(machine.runtime.aclmdlRICaptureTaskGrpBegin(machine.stream))
            try machine.check(machine.runtime.aclrtMemsetAsync(place, 64, 0, 64, machine.stream))
        },
        Misuse("an update with fewer tasks than the group", 107033) { machine in
            let captured = try Captured(machine)
            try machine.check(machine.runtime.aclmdlRICaptureTaskUpdateBegin(captured.other, captured.group))
            try machine.check(machine.runtime.aclmdlRICaptureTaskUpdateEnd(captured.other))
        },
        Misuse("destroying a graph that runs", 107037) { machine in
            // Its attention waits for an event that is not recorded.
            let captured = try Captured(machine)
            try machine.check(machine.runtime.aclmdlRIExecuteAsync(captured.graph, machine.stream))
            try machine.check(machine.runtime.aclmdlRIDestroy(captured.graph))
        },
        Misuse("memory of a graph that was freed", 507015) { machine in
            let captured = try Captured(machine)
            try machine.check(machine.runtime.aclrtFree(captured.attention.placed[0].place))
            try machine.check(machine.runtime.aclmdlRIExecuteAsync(captured.graph, machine.stream))
            try machine.check(machine.runtime.aclrtRecordEvent(captured.event, captured.other))
            try machine.synchronize()
        },
    ]
}
