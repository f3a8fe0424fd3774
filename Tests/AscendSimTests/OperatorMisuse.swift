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

/// A norm whose executor is repeatable.
struct Repeated {
    let norm: Norm
    let executor: OpaquePointer?

    init(_ machine: Machine) throws {
        let norm = try Norm(machine)
        self.norm = norm
        executor = try machine.plan { norm.plan(machine, $0, $1) }.executor
        try machine.check(machine.objects.aclSetAclOpExecutorRepeatable(executor))
    }

    func launch(_ machine: Machine) throws {
        try machine.check(machine.operators.aclnnRmsNorm(nil, 0, executor, machine.stream))
    }
}

/// A product of two groups of rows, {2, 16} and {1, 16}, whose executor is repeatable.
struct RepeatedGroups {
    let executor: OpaquePointer?
    let out: OpaquePointer?
    /// Where results may go.
    let places: [UnsafeMutableRawPointer]
    private let workspace: UnsafeMutableRawPointer
    private let workspaceByteCount: UInt64

    /// Place of the outputs among the parameters that are tensors or lists.
    static let outputs = 12

    init(_ machine: Machine) throws {
        let x = try machine.floats([Float](repeating: 1, count: 48), [3, 16])
        let weight = try machine.floats((0..<512).map { Float($0 / 256 + 1) }, [2, 16, 16])
        let groups = machine.tensor(ACL_INT64, [2], at: try machine.upload([2, 1] as [Int64]))
        let (first, second) = (try machine.empty(ACL_BF16, [3, 16]), try machine.allocate(256))
        let (inputs, weights, out) = (machine.list([x]), machine.list([weight]), machine.list([first]))
        let planned = try machine.plan {
            machine.operators.aclnnGroupedMatmulV4GetWorkspaceSize(
                inputs, weights, nil, nil, nil, nil, nil, nil, groups, nil, nil, nil, 3, 0, 1, 0, out, nil, nil, $0, $1)
        }
        try machine.check(machine.objects.aclSetAclOpExecutorRepeatable(planned.executor))
        (executor, self.out, places) = (planned.executor, out, [first.place, second])
        workspace = try machine.allocate(Int(planned.workspace))
        workspaceByteCount = planned.workspace
    }

    func launch(_ machine: Machine) throws {
        try machine.check(
            machine.operators.aclnnGroupedMatmulV4(workspace, workspaceByteCount, executor, machine.stream))
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

private func multiplyTiled(
    _ machine: Machine, _ a: OpaquePointer?, _ b: OpaquePointer?, _ out: OpaquePointer?
) throws {
    try machine.run(machine.operators.aclnnMatmulWeightNz) {
        machine.operators.aclnnMatmulWeightNzGetWorkspaceSize(a, b, out, 0, $0, $1)
    }
}

/// Two rows of 64 integers times a matrix with 16 outputs.
private func multiplyIntegers(_ machine: Machine, _ b: OpaquePointer?, isTransposed: Bool) throws {
    let a = try machine.floats([Float](repeating: 1, count: 128), [2, 64], ACL_INT8)
    let scale = try machine.floats([Float](repeating: 1, count: 16), [16], ACL_FLOAT)
    let tokens = try machine.floats([1, 1], [2], ACL_FLOAT)
    let out = try machine.empty(ACL_BF16, [2, 16])
    try machine.run(machine.operators.aclnnQuantMatmulWeightNz) {
        machine.operators.aclnnQuantMatmulWeightNzGetWorkspaceSize(
            a.handle, b, tokens.handle, scale.handle, nil, nil, nil, nil, nil, false, isTransposed, 0, out.handle, $0,
            $1)
    }
}

private func tile(_ machine: Machine, _ matrix: OpaquePointer?) throws {
    try machine.run(machine.operators.aclnnTransMatmulWeight) {
        machine.operators.aclnnTransMatmulWeightGetWorkspaceSize(matrix, $0, $1)
    }
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

/// Chooses among eight experts of two rows, by rules that are right but for what is said.
private func choose(
    _ machine: Machine, k: Int64 = 2, kept: Int64 = 2, groups: Int64 = 4, groupScore: Int64 = 1, renorm: Int64 = 0,
    norm: Int64 = 1, bias type: aclDataType = ACL_FLOAT, scores scoreType: aclDataType = ACL_FLOAT, room: Int = 2
) throws {
    let x = try machine.floats([Float](repeating: 1, count: 16), [2, 8], ACL_FLOAT)
    let bias = try machine.floats([Float](repeating: 1, count: 8), [8], type)
    let (y, chosen) = (try machine.empty(ACL_FLOAT, [2, room]), try machine.empty(ACL_INT32, [2, room]))
    let scores = try machine.empty(scoreType, [2, 8])
    try machine.run(machine.operators.aclnnMoeGatingTopK) {
        machine.operators.aclnnMoeGatingTopKGetWorkspaceSize(
            x.handle, bias.handle, k, kept, groups, groupScore, renorm, norm, false, 1, 1e-20, y.handle, chosen.handle,
            scores.handle, $0, $1)
    }
}

/// Asks for the sums over rows of two.
private func sums(
    _ machine: Machine, _ dims: [Int]? = [-1], keepsDimension: Bool = false, of x: Placed? = nil,
    into type: aclDataType = ACL_FLOAT, in shape: [Int] = [2]
) throws {
    let x = try x ?? machine.floats([1, 2, 4, 3], [2, 2])
    let out = try machine.empty(type, shape)
    try machine.run(machine.operators.aclnnLogSumExp) {
        machine.operators.aclnnLogSumExpGetWorkspaceSize(
            x.handle, dims.flatMap { machine.integers($0) }, keepsDimension, out.handle, $0, $1)
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
        Misuse("a norm that is to multiply by the scales of its quantization", 161002) { machine in
            let (x, gamma) = (try machine.floats([1, 1], [1, 2]), try machine.floats([1, 1], [2]))
            let (y, unused) = (try machine.empty(ACL_INT8, [1, 2]), try machine.empty(ACL_INT8, [1, 2]))
            let sum = try machine.empty(ACL_BF16, [1, 2])
            _ = try machine.plan {
                machine.operators.aclnnAddRmsNormQuantGetWorkspaceSize(
                    x.handle, x.handle, gamma.handle, gamma.handle, nil, nil, nil, -1, 1e-5, false, y.handle,
                    unused.handle, sum.handle, $0, $1)
            }
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
        Misuse("an executor made repeatable when another was planned since", 561000) { machine in
            let norm = try Norm(machine)
            let (_, executor) = try machine.plan { norm.plan(machine, $0, $1) }
            _ = try machine.plan { norm.plan(machine, $0, $1) }
            try machine.check(machine.objects.aclSetAclOpExecutorRepeatable(executor))
        },
        Misuse("an executor destroyed that its launch destroys", 161002) { machine in
            let norm = try Norm(machine)
            let (_, executor) = try machine.plan { norm.plan(machine, $0, $1) }
            try machine.check(machine.objects.aclDestroyAclOpExecutor(executor))
        },
        Misuse("a repeatable executor that was destroyed", 561103) { machine in
            let repeated = try Repeated(machine)
            try machine.check(machine.objects.aclDestroyAclOpExecutor(repeated.executor))
            try repeated.launch(machine)
        },
        Misuse("a repeatable executor without one of its tensors", 561103) { machine in
            let repeated = try Repeated(machine)
            try machine.check(machine.objects.aclDestroyTensor(repeated.norm.gamma.handle))
            try repeated.launch(machine)
        },
        Misuse("a repeatable executor of a device that was reset since", 561103) { machine in
            let repeated = try Repeated(machine)
            try machine.check(machine.runtime.aclrtResetDeviceForce(0))
            try machine.check(machine.runtime.aclrtSetDevice(0))
            try repeated.launch(machine)
        },
        Misuse("a tensor moved behind the executor's back", 161002) { machine in
            let repeated = try Repeated(machine)
            try machine.check(machine.objects.aclSetRawTensorAddr(repeated.norm.x.handle, repeated.norm.y.place))
            try repeated.launch(machine)
        },
        Misuse("a new address for another tensor than the parameter was", 161002) { machine in
            let repeated = try Repeated(machine)
            let norm = repeated.norm
            try machine.check(machine.objects.aclSetTensorAddr(repeated.executor, 0, norm.gamma.handle, norm.y.place))
        },
        Misuse("a new address that is not aligned", 161002) { machine in
            let repeated = try Repeated(machine)
            let norm = repeated.norm
            try machine.check(machine.objects.aclSetTensorAddr(repeated.executor, 0, norm.x.handle, norm.y.place + 2))
        },
        Misuse("no address in place of another", 161002) { machine in
            let repeated = try Repeated(machine)
            try machine.check(machine.objects.aclSetTensorAddr(repeated.executor, 0, repeated.norm.x.handle, nil))
        },
        Misuse("a new address of freed memory", 507015) { machine in
            let repeated = try Repeated(machine)
            let place = try machine.allocate(256)
            try machine.check(machine.runtime.aclrtFree(place))
            try machine.check(machine.objects.aclSetTensorAddr(repeated.executor, 0, repeated.norm.x.handle, place))
            try repeated.launch(machine)
            try machine.synchronize()
        },
        Misuse("a list told by its place among lists", 161002) { machine in
            let grouped = try RepeatedGroups(machine)
            try machine.check(
                machine.objects.aclSetDynamicTensorAddr(grouped.executor, 2, 0, grouped.out, grouped.places[0]))
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
        Misuse("rows where an operator takes tiles", 161002) { machine in
            let a = try machine.floats([Float](repeating: 1, count: 512), [16, 32])
            let b = try machine.floats([Float](repeating: 1, count: 512), [32, 16])
            try multiplyTiled(machine, a.handle, b.handle, try machine.empty(ACL_BF16, [16, 16]).handle)
        },
        Misuse("a transposed matrix in tiles planned with twice", 161002) { machine in
            let a = try machine.floats([Float](repeating: 1, count: 512), [16, 32])
            let out = try machine.empty(ACL_BF16, [16, 16])
            let b = machine.tensor(
                ACL_BF16, [32, 16], at: try machine.allocate(1_024), strides: [1, 32],
                format: ACL_FORMAT_FRACTAL_NZ, storage: [2, 1, 16, 16])
            try multiplyTiled(machine, a.handle, b, out.handle)
            try multiplyTiled(machine, a.handle, b, out.handle)
        },
        Misuse("integers in tiles as a view of their transpose", 161002) { machine in
            let b = machine.tensor(
                ACL_INT8, [64, 16], at: try machine.allocate(1_024), strides: [1, 64],
                format: ACL_FORMAT_FRACTAL_NZ, storage: [2, 1, 16, 32])
            try multiplyIntegers(machine, b, isTransposed: false)
        },
        Misuse("integers in tiles of the transpose", 161002) { machine in
            let b = machine.tensor(
                ACL_INT8, [16, 64], at: try machine.allocate(2_048), format: ACL_FORMAT_FRACTAL_NZ,
                storage: [1, 4, 16, 32])
            try multiplyIntegers(machine, try made(machine, b), isTransposed: true)
        },
        Misuse("groups whose matrices leave tiles half empty", 161002) { machine in
            let x = try machine.floats([Float](repeating: 1, count: 48), [2, 24])
            let weight = machine.tensor(
                ACL_BF16, [2, 24, 16], at: try machine.allocate(4_096), strides: [384, 1, 24],
                format: ACL_FORMAT_FRACTAL_NZ, storage: [2, 2, 1, 16, 16])
            let groups = machine.tensor(ACL_INT64, [2], at: try machine.upload([1, 1] as [Int64]))
            let (inputs, out) = (machine.list([x]), machine.list([try machine.empty(ACL_BF16, [2, 16])]))
            var members = [weight]
            let weights = machine.objects.aclCreateTensorList(&members, 1)
            try machine.run(machine.operators.aclnnGroupedMatmulV4) {
                machine.operators.aclnnGroupedMatmulV4GetWorkspaceSize(
                    inputs, weights, nil, nil, nil, nil, nil, nil, groups, nil, nil, nil, 3, 0, 1, 0, out, nil, nil, $0,
                    $1)
            }
        },
        Misuse("a matrix turned into tiles without room for them", 161002) { machine in
            let place = try machine.allocate(4_096)
            try tile(machine, machine.tensor(ACL_INT8, [20, 40], at: place, storage: [800]))
        },
        Misuse("a matrix turned into tiles twice", 161002) { machine in
            let place = try machine.allocate(4_096)
            let matrix = machine.tensor(ACL_INT8, [32, 64], at: place)
            try tile(machine, matrix)
            try tile(machine, matrix)
        },
        Misuse("an executor kept that turns a matrix into tiles", 561000) { machine in
            let matrix = machine.tensor(ACL_INT8, [32, 64], at: try machine.allocate(4_096))
            let (_, executor) = try machine.plan {
                machine.operators.aclnnTransMatmulWeightGetWorkspaceSize(matrix, $0, $1)
            }
            try machine.check(machine.objects.aclSetAclOpExecutorRepeatable(executor))
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
        Misuse("heads over latents that are no power of two", 161002) { try LatentAttention($0, heads: 3).run($0) },
        Misuse("latents of another length", 161002) { try LatentAttention($0, width: 256).run($0) },
        Misuse("several heads of latents", 161002) { try LatentAttention($0).run($0, groups: 4) },
        Misuse("rotated queries without rotated keys", 161002) { try LatentAttention($0).run($0, hasKeyRope: false) },
        Misuse("values that are not the latents", 161002) { try LatentAttention($0).run($0, isValueApart: true) },
        Misuse("another block size than the latents have", 161002) { try LatentAttention($0).run($0, blockSize: 128) },
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
        Misuse("more experts than the best groups have", 161002) { try choose($0, k: 5, room: 5) },
        Misuse("more groups than there are", 161002) { try choose($0, kept: 5) },
        Misuse("groups that do not divide the experts", 161002) { try choose($0, groups: 3) },
        Misuse("the two best of groups of one", 161002) { try choose($0, groups: 8) },
        Misuse("a norm that the chip has not", 161002) { try choose($0, norm: 2) },
        Misuse("shares divided by their sum before CANN 9.0", 161002, ["CANN": "8.5"]) {
            try choose($0, renorm: 1, norm: 0)
        },
        Misuse("a bias of another type than the scores'", 161002) { try choose($0, bias: ACL_BF16) },
        Misuse("scores in another type than float32", 161002) { try choose($0, scores: ACL_BF16) },
        Misuse("room for fewer experts", 161002) { try choose($0, room: 1) },
        Misuse("experts chosen by groups on 310P", 561003, ["SOC": "Ascend310P3"]) { try choose($0) },
        Misuse("sums over no dimension", 161001) { try sums($0, nil) },
        Misuse("sums over a dimension that is not there", 161002) { try sums($0, [2]) },
        Misuse("sums of each column", 161002) { try sums($0, [0]) },
        Misuse("sums in integers", 161002) { try sums($0, into: ACL_INT32) },
        Misuse("sums of integers", 161002) { try sums($0, of: $0.floats([1, 2, 4, 3], [2, 2], ACL_INT8)) },
        Misuse("sums as a column where a row is asked for", 161002) { try sums($0, in: [2, 1]) },
        Misuse("sums as a row where a column is asked for", 161002) { try sums($0, keepsDimension: true) },
        Misuse("sums in BF16 on 310P", 161002, ["SOC": "Ascend310P3"]) { machine in
            try sums(machine, of: machine.floats([1, 2, 4, 3], [2, 2], ACL_FLOAT16), into: ACL_BF16)
        },
        Misuse("a product with FLOAT in 16 bits", 161002) { machine in
            let x = try machine.floats([1, 2, 4, 3], [2, 2])
            let factors = try machine.floats([1, 2], [2, 1], ACL_FLOAT)
            let out = try machine.empty(ACL_BF16, [2, 2])
            try machine.run(machine.operators.aclnnMul) {
                machine.operators.aclnnMulGetWorkspaceSize(x.handle, factors.handle, out.handle, $0, $1)
            }
        },
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
