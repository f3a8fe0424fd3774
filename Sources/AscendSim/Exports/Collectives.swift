// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

/// Runs a call of HCCL, whose codes are its own.
private func collective(_ name: String, _ body: (World, ThreadState) throws(Failure) -> Void) -> HcclResult {
    let code = world.enter(name, body)
    let own: UInt32 = code == 0 ? 0 : code < 100 ? UInt32(code) : 15
    return HcclResult(rawValue: own)
}

@c @implementation public func HcclGetRootInfo(_ rootInfo: UnsafeMutablePointer<HcclRootInfo>?) -> HcclResult {
    collective("HcclGetRootInfo") { world, thread throws(Failure) in
        _ = try thread.current()
        guard let rootInfo else { throw Failure(2, "HcclGetRootInfo: rootInfo is NULL") }
        let name = "ascendsim-\(getpid())-\(world.rootCount)"
        world.rootCount += 1
        memset(rootInfo, 0, MemoryLayout<HcclRootInfo>.size)
        strcpy(UnsafeMutableRawPointer(rootInfo).assumingMemoryBound(to: CChar.self), name)
    }
}

@c @implementation public func HcclCommInitRootInfo(
    _ nRanks: UInt32, _ rootInfo: UnsafePointer<HcclRootInfo>?, _ rank: UInt32, _ comm: UnsafeMutablePointer<HcclComm?>?
) -> HcclResult {
    collective("HcclCommInitRootInfo") { world, thread throws(Failure) in
        guard let rootInfo, let comm else { throw Failure(2, "HcclCommInitRootInfo: NULL") }
        let name = String(cString: UnsafeRawPointer(rootInfo).assumingMemoryBound(to: CChar.self))
        try require(
            name.hasPrefix("ascendsim-\(getpid())-"), 1, "HcclCommInitRootInfo: ranks are threads of one process")
        try require(rank < nRanks && nRanks <= 64, 1, "HcclCommInitRootInfo: rank \(rank) of \(nRanks)")
        let device = try thread.current().device
        let group = world.groups[name] ?? CollectiveGroup(name, Int(nRanks))
        world.groups[name] = group
        try require(group.size == Int(nRanks), 1, "HcclCommInitRootInfo: \(nRanks) ranks, others said \(group.size)")
        try require(group.devices[Int(rank)] == nil, 1, "HcclCommInitRootInfo: rank \(rank) is there already")
        try require(
            !group.devices.values.contains(device.id), 1, "HcclCommInitRootInfo: device \(device.id) has a rank already"
        )
        group.devices[Int(rank)] = device.id
        world.lock.wakeAll()
        let seconds = world.settings.collectiveTimeout
        let isDone = world.lock.wait(milliseconds: seconds * 1000) { group.devices.count == group.size }
        try require(
            isDone, 9, "HcclCommInitRootInfo: \(group.devices.count) of \(group.size) ranks within \(seconds) s")
        comm.pointee = world.register(Communicator(group, Int(rank)))
    }
}

@c @implementation public func HcclCommInitAll(
    _ ndev: UInt32, _ devices: UnsafeMutablePointer<Int32>?, _ comms: UnsafeMutablePointer<HcclComm?>?
) -> HcclResult {
    collective("HcclCommInitAll") { world, _ throws(Failure) in
        guard let devices, let comms else { throw Failure(2, "HcclCommInitAll: NULL") }
        let group = CollectiveGroup("ascendsim-all-\(world.rootCount)", Int(ndev))
        world.rootCount += 1
        for rank in 0..<Int(ndev) {
            group.devices[rank] = try world.device(devices[rank]).id
            comms[rank] = world.register(Communicator(group, rank))
        }
    }
}

@c @implementation public func HcclCommDestroy(_ comm: HcclComm?) -> HcclResult {
    collective("HcclCommDestroy") { world, _ throws(Failure) in
        let object = try world.communicator(comm)
        // The others would wait for ever.
        object.group.failure =
            object.group.failure ?? Failure(507000, "rank \(object.rank) has left \(object.group.name)")
        world.lock.wakeAll()
        world.forget(comm)
    }
}

@c @implementation public func HcclGetRankSize(
    _ comm: HcclComm?, _ rankSize: UnsafeMutablePointer<UInt32>?
) -> HcclResult {
    collective("HcclGetRankSize") { world, _ throws(Failure) in
        try set(rankSize, UInt32(try world.communicator(comm).group.size), "rankSize")
    }
}

@c @implementation public func HcclGetRankId(_ comm: HcclComm?, _ rank: UnsafeMutablePointer<UInt32>?) -> HcclResult {
    collective("HcclGetRankId") { world, _ throws(Failure) in
        try set(rank, UInt32(try world.communicator(comm).rank), "rank")
    }
}

@c @implementation public func HcclGetCommName(
    _ comm: HcclComm?, _ commName: UnsafeMutablePointer<CChar>?
) -> HcclResult {
    collective("HcclGetCommName") { world, _ throws(Failure) in
        guard let commName else { throw Failure(2, "HcclGetCommName: commName is NULL") }
        strcpy(commName, try world.communicator(comm).group.name)
    }
}

@c @implementation public func HcclAllReduce(
    _ sendBuf: UnsafeMutableRawPointer?, _ recvBuf: UnsafeMutableRawPointer?, _ count: UInt64, _ dataType: HcclDataType,
    _ op: HcclReduceOp, _ comm: HcclComm?, _ stream: aclrtStream?
) -> HcclResult {
    enqueue("HcclAllReduce", comm, stream, sendBuf, recvBuf, count, dataType, op) { count, _ in
        .allReduce(count: count, type: dataType, operation: op)
    }
}

@c @implementation public func HcclAllGather(
    _ sendBuf: UnsafeMutableRawPointer?, _ recvBuf: UnsafeMutableRawPointer?, _ sendCount: UInt64,
    _ dataType: HcclDataType, _ comm: HcclComm?, _ stream: aclrtStream?
) -> HcclResult {
    enqueue("HcclAllGather", comm, stream, sendBuf, recvBuf, sendCount, dataType) { count, _ in
        .allGather(count: count, type: dataType)
    }
}

@c @implementation public func HcclReduceScatter(
    _ sendBuf: UnsafeMutableRawPointer?, _ recvBuf: UnsafeMutableRawPointer?, _ recvCount: UInt64,
    _ dataType: HcclDataType, _ op: HcclReduceOp, _ comm: HcclComm?, _ stream: aclrtStream?
) -> HcclResult {
    enqueue("HcclReduceScatter", comm, stream, sendBuf, recvBuf, recvCount, dataType, op) { count, _ in
        .reduceScatter(count: count, type: dataType, operation: op)
    }
}

@c @implementation public func HcclBroadcast(
    _ buf: UnsafeMutableRawPointer?, _ count: UInt64, _ dataType: HcclDataType, _ root: UInt32, _ comm: HcclComm?,
    _ stream: aclrtStream?
) -> HcclResult {
    enqueue("HcclBroadcast", comm, stream, buf, buf, count, dataType) { count, _ in
        .broadcast(count: count, type: dataType, root: Int(root))
    }
}

@c @implementation public func HcclAlltoAll(
    _ sendBuf: UnsafeRawPointer?, _ sendCount: UInt64, _ sendType: HcclDataType, _ recvBuf: UnsafeRawPointer?,
    _ recvCount: UInt64, _ recvType: HcclDataType, _ comm: HcclComm?, _ stream: aclrtStream?
) -> HcclResult {
    guard sendCount == recvCount, sendType == recvType, sendBuf != recvBuf else {
        return collective("HcclAlltoAll") { _, _ throws(Failure) in
            throw Failure(1, "HcclAlltoAll: counts or types differ, or the buffers are one")
        }
    }
    return enqueue(
        "HcclAlltoAll", comm, stream, UnsafeMutableRawPointer(mutating: sendBuf),
        UnsafeMutableRawPointer(mutating: recvBuf),
        sendCount, sendType
    ) { count, _ in .allToAll(count: count, type: sendType) }
}

@c @implementation public func HcclAlltoAllV(
    _ sendBuf: UnsafeRawPointer?, _ sendCounts: UnsafeRawPointer?, _ sdispls: UnsafeRawPointer?,
    _ sendType: HcclDataType, _ recvBuf: UnsafeRawPointer?, _ recvCounts: UnsafeRawPointer?,
    _ rdispls: UnsafeRawPointer?, _ recvType: HcclDataType, _ comm: HcclComm?, _ stream: aclrtStream?
) -> HcclResult {
    enqueue(
        "HcclAlltoAllV", comm, stream, UnsafeMutableRawPointer(mutating: sendBuf),
        UnsafeMutableRawPointer(mutating: recvBuf), 1, sendType
    ) { _, communicator throws(Failure) in
        try require(sendType == recvType && sendBuf != recvBuf, 1, "types differ, or the buffers are one")
        let size = communicator.group.size
        return .allToAllV(
            send: try spans(sendCounts, sdispls, size), receive: try spans(recvCounts, rdispls, size), type: sendType)
    }
}

/// Counts and displacements of each rank, read at the call.
private func spans(
    _ counts: UnsafeRawPointer?, _ starts: UnsafeRawPointer?, _ size: Int
) throws(Failure) -> [Collective.Span] {
    guard let counts, let starts else { throw Failure(2, "counts or displacements are NULL") }
    var spans: [Collective.Span] = []
    for rank in 0..<size {
        let count = counts.load(fromByteOffset: 8 * rank, as: UInt64.self)
        let start = starts.load(fromByteOffset: 8 * rank, as: UInt64.self)
        try require(count < 1 << 40 && start < 1 << 40, 1, "counts or displacements are impossible")
        spans.append(Collective.Span(count: Int(count), start: Int(start)))
    }
    return spans
}

@c @implementation public func HcclBarrier(_ comm: HcclComm?, _ stream: aclrtStream?) -> HcclResult {
    enqueue("HcclBarrier", comm, stream, nil, nil, 1, HCCL_DATA_TYPE_INT8) { _, _ in .barrier }
}

@c @implementation public func HcclGetCommAsyncError(
    _ comm: HcclComm?, _ asyncError: UnsafeMutablePointer<HcclResult>?
) -> HcclResult {
    collective("HcclGetCommAsyncError") { world, _ throws(Failure) in
        let failure = try world.communicator(comm).group.failure
        try set(asyncError, failure == nil ? HCCL_SUCCESS : HCCL_E_REMOTE, "asyncError")
    }
}

private func enqueue(
    _ name: String, _ comm: HcclComm?, _ stream: aclrtStream?, _ send: UnsafeMutableRawPointer?,
    _ receive: UnsafeMutableRawPointer?, _ count: UInt64, _ type: HcclDataType, _ op: HcclReduceOp = HCCL_REDUCE_SUM,
    _ kind: (Int, Communicator) throws(Failure) -> Collective.Kind
) -> HcclResult {
    collective(name) { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        let communicator = try world.communicator(comm)
        try require(
            communicator.group.devices[communicator.rank] == object.device.id, 1,
            "\(name): the stream is of another device than the rank")
        try require(count > 0 && count < 1 << 40, 1, "\(name): count \(count)")
        try require(type.bytes > 0, 1, "\(name): data type \(type.rawValue) is not simulated")
        try require(
            type != HCCL_DATA_TYPE_BFP16 || (!world.settings.profile.is310P && op != HCCL_REDUCE_PROD), 5,
            "\(name): BFP16 is not supported here")
        try require(op.rawValue <= 3, 1, "\(name): operation \(op.rawValue)")
        let call = Collective(
            communicator: communicator, kind: try kind(Int(count), communicator), send: UInt(bitPattern: send),
            receive: UInt(bitPattern: receive))
        thread.note = "\(count)"
        try object.enqueue(.collective(call), at: thread.clock)
    }
}

extension World {
    fileprivate func communicator(_ handle: HcclComm?) throws(Failure) -> Communicator {
        try object(handle, Communicator.self, 1, "comm")
    }
}
