internal import CAscend

/// One tensor parameter of an operator.
struct Operand {
    /// Among all tensor parameters of the operator, given or not.
    let index: Int
    let tensor: Tensor
    let name: String

    var type: aclDataType { tensor.type }
    var dims: [Int] { tensor.dims }
    var columns: Int { tensor.dims.last ?? 1 }
    var rows: Int { columns == 0 ? 0 : tensor.count / columns }
}

/// An operator between its stages: `aclOpExecutor`.
final class Executor {
    let name: String
    /// Addresses may change between launches; shapes do not.
    fileprivate(set) var parameters: [Tensor?] = []
    fileprivate(set) var outputs: [Int] = []
    fileprivate(set) var workspaceBytes = 0
    fileprivate(set) var cost = Cost()
    fileprivate(set) var run: ((Contents) throws(Failure) -> Void)?
    var isRepeatable = false
    /// Handles and objects of all that the first stage was given.
    fileprivate var objects: [(handle: UInt, object: AnyObject)] = []
    /// What each of the parameters was given as, and what the first stage made of it.
    fileprivate var tensors: [TensorObject?] = []
    fileprivate var left: [Tensor?] = []
    /// Whether the operator cannot be launched twice.
    fileprivate(set) var isOnceOnly = false
    /// Parameters so far that are tensors or lists, given or not.
    fileprivate var ordinal = 0
    /// Of a list, by its place among those: the tensors that are its own.
    fileprivate(set) var lists: [Int: (list: TensorList, range: Range<Int>)] = [:]
    private let device: Device?
    private let resets: Int

    init(_ name: String, on device: Device?) {
        self.name = name
        self.device = device
        resets = device?.resets ?? 0
    }

    /// Changes the address of a tensor, which is then also what the tensor itself says.
    func setAddress(_ index: Int, _ tensor: TensorObject, _ address: UInt) throws(Failure) {
        guard parameters.indices.contains(index), parameters[index] != nil else {
            throw .invalid("\(name): parameter \(index) is none that was given to the first stage")
        }
        guard tensors[index] === tensor else {
            throw .invalid("\(name): parameter \(index) was another tensor in the first stage")
        }
        guard address != 0, address % 32 == 0 else {
            throw .invalid("\(name): the address is NULL or not aligned to 32 bytes")
        }
        parameters[index]?.address = address
        left[index]?.address = address
        tensor.tensor.address = address
    }

    /// What stage 2 of a repeatable executor reads again must be as stage 1 saw it, but for addresses that were set.
    func checkIsWhole(_ world: World) throws(Failure) {
        guard device?.resets == resets else {
            throw Failure(561103, "\(name): the executor is from before its device was reset")
        }
        for (handle, object) in objects where world.handles[handle] !== object {
            throw Failure(561103, "\(name): an object that the executor was made with is destroyed")
        }
        for (index, object) in tensors.enumerated() {
            guard let object, let left = left[index], !object.tensor.isSame(as: left) else { continue }
            throw .invalid("\(name): tensor \(index) was changed, and not through the executor")
        }
    }

    func index(ofOutput number: Int) throws(Failure) -> Int {
        guard outputs.indices.contains(number) else { throw .invalid("\(name): there is no output \(number)") }
        return outputs[number]
    }

    func index(ofInput number: Int) throws(Failure) -> Int {
        let inputs = parameters.indices.filter { !outputs.contains($0) }
        guard inputs.indices.contains(number) else { throw .invalid("\(name): there is no input \(number)") }
        return inputs[number]
    }

    /// The work of a launch, with the addresses of now.
    func kernel(workspace: UInt, device: Int) -> Kernel {
        let (parameters, name, bytes, run) = (parameters, name, workspaceBytes, run)
        let firstOutput = outputs.first
        return Kernel(name: name, cost: cost) { world throws(Failure) in
            var views: [View?] = []
            for (index, tensor) in parameters.enumerated() {
                guard let tensor else {
                    views.append(nil)
                    continue
                }
                let base = try world.memory.contents(
                    tensor.address, tensor.bytes, device: device, "\(name), tensor \(index) \(tensor.shape)")
                views.append(View(tensor: tensor, base: base))
            }
            if bytes > 0 {
                let place = try world.memory.contents(workspace, bytes, device: device, "\(name), workspace")
                // Nobody may count on what an operator leaves there.
                place.initializeMemory(as: UInt8.self, repeating: 0xA5, count: min(bytes, 4096))
            }
            guard world.settings.computes else { return { () throws(Failure) in } }
            let poisoned = world.poisonedRow(of: name)
            return { () throws(Failure) in
                try run?(Contents(name: name, views: views))
                if let poisoned, let firstOutput, let view = views[firstOutput], poisoned < view.rows {
                    let values = [Float](repeating: .nan, count: view.columns)
                    view.write(row: poisoned, values)
                }
            }
        }
    }
}

extension World {
    fileprivate func poisonedRow(of name: String) -> Int? {
        var row: Int?
        for index in faults.indices {
            if case .nan(let which, _) = faults[index].kind, faults[index].strikes(name) { row = which }
        }
        return row
    }
}

/// The tensors of a launch.
struct Contents {
    let name: String
    fileprivate let views: [View?]

    subscript(operand: Operand) -> View {
        guard let view = views[operand.index] else { preconditionFailure("an operand is there, or there is none") }
        return view
    }

    /// What the device finds while it runs shows up when its stream is synchronised.
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(Failure) {
        if !condition { throw Failure(507015, "\(name): \(message())") }
    }
}

/// The first stage of an operator: takes the parameters in their order, checks them, says what to run.
struct Plan {
    let name: String
    let profile: Profile
    fileprivate let executor: Executor
    fileprivate let world: World

    var release: Release { world.settings.release }

    // MARK: Parameters

    func input(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> Operand {
        guard let operand = try take(handle, name) else { throw Failure(161001, "\(self.name): \(name) is NULL") }
        return operand
    }

    func optional(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> Operand? { try take(handle, name) }

    /// An output, or a tensor that is changed in place.
    func output(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> Operand {
        let operand = try input(handle, name)
        executor.outputs.append(operand.index)
        return operand
    }

    func optionalOutput(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> Operand? {
        let operand = try take(handle, name)
        executor.outputs.append(executor.parameters.count - 1)
        return operand
    }

    /// A parameter that the way of calling it in the list of operators leaves out.
    func unused(_ handle: OpaquePointer?, _ name: String) throws(Failure) {
        guard try take(handle, name) == nil else { throw .invalid("\(self.name): \(name) is not simulated, pass NULL") }
    }

    func list(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> [Operand] {
        let list = try object(handle, TensorList.self, name)
        let start = executor.parameters.count
        var operands: [Operand] = []
        for member in list.members {
            operands.append(Operand(index: executor.parameters.count, tensor: member.tensor, name: name))
            try check(member.tensor, name)
            append(member)
        }
        executor.lists[executor.ordinal] = (list, start..<executor.parameters.count)
        executor.ordinal += 1
        return operands
    }

    /// A list that is not given.
    func skipList() { executor.ordinal += 1 }

    private func append(_ object: TensorObject?) {
        executor.parameters.append(object?.tensor)
        executor.tensors.append(object)
    }

    private func object<Object: AnyObject>(
        _ handle: OpaquePointer?, _ type: Object.Type, _ name: String
    ) throws(Failure) -> Object {
        let found = try world.object(UnsafeRawPointer(handle), type, 161001, "\(self.name): \(name)")
        executor.objects.append((UInt(bitPattern: handle), found))
        return found
    }

    func outputList(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> [Operand] {
        let operands = try list(handle, name)
        executor.outputs += operands.map(\.index)
        return operands
    }

    func integers(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> [Int]? {
        guard let handle else { return nil }
        return try object(handle, IntArray.self, name).values
    }

    func scalar(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> Double {
        try object(handle, ScalarObject.self, name).value
    }

    private func take(_ handle: OpaquePointer?, _ name: String) throws(Failure) -> Operand? {
        executor.ordinal += 1
        guard let handle else {
            append(nil)
            return nil
        }
        let object = try object(handle, TensorObject.self, name)
        try check(object.tensor, name)
        append(object)
        return Operand(index: executor.parameters.count - 1, tensor: object.tensor, name: name)
    }

    private func check(_ tensor: Tensor, _ name: String) throws(Failure) {
        try require(tensor.address % 32 == 0, "\(name) is not aligned to 32 bytes")
        try require(!profile.is310P || tensor.type != ACL_BF16, "\(name): BF16 is not supported by \(profile.name)")
    }

    /// The first stage leaves the tensor itself as another view.
    func change(_ operand: Operand, _ body: (inout Tensor) -> Void) {
        if let object = executor.tensors[operand.index] { body(&object.tensor) }
    }

    /// The operator cannot be launched twice.
    func refuseRepeats() { executor.isOnceOnly = true }

    /// The operator writes to the whole storage of this one.
    func coverStorage(_ operand: Operand) { executor.parameters[operand.index]?.coversStorage = true }

    // MARK: Checks

    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(Failure) {
        if !condition { throw .invalid("\(name): \(message())") }
    }

    func type(_ operand: Operand, _ types: aclDataType...) throws(Failure) {
        try require(
            types.contains(operand.type),
            "\(operand.name) is \(operand.tensor.shape), its type is one of \(types.map(\.name))")
    }

    func same(_ operands: Operand...) throws(Failure) {
        for operand in operands.dropFirst() {
            try require(
                operand.type == operands[0].type,
                "\(operand.name) is \(operand.tensor.shape), \(operands[0].name) \(operands[0].tensor.shape)")
        }
    }

    func shape(_ operand: Operand, _ dims: [Int]) throws(Failure) {
        try require(operand.dims == dims, "\(operand.name) is \(operand.tensor.shape), \(dims) is wanted")
    }

    func contiguous(_ operands: Operand...) throws(Failure) {
        for operand in operands { try require(operand.tensor.isContiguous, "\(operand.name) is not contiguous") }
    }

    func plain(_ operands: Operand...) throws(Failure) {
        for operand in operands { try require(!operand.tensor.isTiled, "\(operand.name) must not be in tiles") }
    }

    func notOn310P() throws(Failure) {
        if profile.is310P { throw Failure(561003, "\(name): no kernel for \(profile.name)") }
    }

    // MARK: Results

    /// What the launch does. Bytes of all tensors are counted unless `cost` has some.
    func run(
        workspace: Int = 0, cost: Cost = Cost(), _ body: @escaping (Contents) throws(Failure) -> Void
    ) {
        executor.workspaceBytes = workspace
        executor.cost = cost
        if cost.bytes == 0 {
            executor.cost.bytes = executor.parameters.reduce(0) { $0 + ($1.map { $0.count * $0.type.bytes } ?? 0) }
        }
        executor.run = body
    }
}

/// The first stage of an operator.
func prepare(
    _ name: String, _ workspaceSize: UnsafeMutablePointer<UInt64>?,
    _ executor: UnsafeMutablePointer<OpaquePointer?>?, _ body: (Plan) throws(Failure) -> Void
) -> aclnnStatus {
    world.enter(name + "GetWorkspaceSize") { world, thread throws(Failure) in
        guard let workspaceSize, let executor else { throw Failure(161001, "\(name): results are NULL") }
        guard thread.context != nil else { throw Failure(361001, "\(name): no device is set on this thread") }
        thread.clock += Cost.plan
        let made = Executor(name, on: thread.context?.device)
        try body(Plan(name: name, profile: world.settings.profile, executor: made, world: world))
        made.left = made.tensors.map { $0?.tensor }
        workspaceSize.pointee = UInt64(made.workspaceBytes)
        executor.pointee = OpaquePointer(world.register(made))
        thread.planned = made
        if world.trace.isOn {
            thread.note = made.parameters.map { $0?.shape ?? "-" }.joined(separator: " ")
        }
    }
}

/// The second stage of an operator.
func launch(
    _ name: String, _ workspace: UnsafeMutableRawPointer?, _ workspaceSize: UInt64, _ executor: OpaquePointer?,
    _ stream: aclrtStream?
) -> aclnnStatus {
    world.enter(name) { world, thread throws(Failure) in
        guard thread.context != nil else { throw Failure(361001, "\(name): no device is set on this thread") }
        let handle = UnsafeRawPointer(executor)
        let object = try world.object(handle, Executor.self, 561103, "\(name): executor, used up or unknown,")
        guard object.name == name else { throw .invalid("\(name): the executor is one of \(object.name)") }
        guard workspaceSize >= UInt64(object.workspaceBytes), object.workspaceBytes == 0 || workspace != nil else {
            throw .invalid("\(name): a workspace of \(workspaceSize) bytes, \(object.workspaceBytes) are wanted")
        }
        if object.isRepeatable { try object.checkIsWhole(world) }
        thread.planned = nil
        thread.clock += Cost.launch
        do throws(Failure) {
            let stream = try world.stream(stream, thread)
            let kernel = object.kernel(workspace: UInt(bitPattern: workspace), device: stream.device.id)
            try stream.enqueue(.kernel(kernel), at: thread.clock)
        } catch {
            guard error.code < 200_000 else { throw error }
            throw Failure(361001, error.message)
        }
        if !object.isRepeatable { world.forget(handle) }
    }
}
