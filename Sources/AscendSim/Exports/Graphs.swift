// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclmdlRICaptureBegin(_ stream: aclrtStream?, _ mode: aclmdlRICaptureMode) -> aclError {
    world.enter("aclmdlRICaptureBegin") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try require(stream != nil, 107031, "aclmdlRICaptureBegin: the default stream cannot capture")
        try require(object.capture == nil, 107027, "aclmdlRICaptureBegin: the stream captures already")
        try require(object.update == nil, 107033, "aclmdlRICaptureBegin: an update is under way on the stream")
        try require(mode.rawValue <= 2, 107000, "aclmdlRICaptureBegin: unknown mode")
        object.capture = Capture(object, mode: mode.rawValue, thread: thread)
        if mode == ACL_MODEL_RI_CAPTURE_MODE_GLOBAL { world.globalCaptures += 1 }
        if mode == ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL { thread.localCaptures += 1 }
    }
}

@c @implementation public func aclmdlRICaptureGetInfo(
    _ stream: aclrtStream?, _ status: UnsafeMutablePointer<aclmdlRICaptureStatus>?,
    _ modelRI: UnsafeMutablePointer<aclmdlRI?>?
) -> aclError {
    world.enter("aclmdlRICaptureGetInfo") { world, thread throws(Failure) in
        let capture = try world.stream(stream, thread).capture
        let value =
            capture == nil
            ? ACL_MODEL_RI_CAPTURE_STATUS_NONE
            : capture?.invalidation == nil
                ? ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE : ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED
        try set(status, value, "status")
        modelRI?.pointee = nil
    }
}

@c @implementation public func aclmdlRICaptureEnd(
    _ stream: aclrtStream?, _ modelRI: UnsafeMutablePointer<aclmdlRI?>?
) -> aclError {
    world.enter("aclmdlRICaptureEnd") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        guard let capture = object.capture else {
            throw Failure(107036, "aclmdlRICaptureEnd: no capture was begun on the stream")
        }
        try require(capture.origin === object, 107036, "aclmdlRICaptureEnd: the capture was begun on another stream")
        try require(
            capture.mode == 2 || capture.thread === thread, 107038, "aclmdlRICaptureEnd: begun by another thread")
        let isGroupOpen = object.group != nil
        capture.release()
        if let failure = capture.invalidation { throw failure }
        try require(!isGroupOpen, 107033, "aclmdlRICaptureEnd: a task group is open")
        try require(!capture.hasUnjoined, 107025, "aclmdlRICaptureEnd: a stream that joined is not waited for")
        let device = object.device
        let limit = world.settings.profile.streamLimit
        try require(
            device.streams.count + device.graphStreams + capture.streams.count <= limit, 207008,
            "aclmdlRICaptureEnd: the graph needs \(capture.streams.count) streams, stream resources are insufficient")
        let graph = Graph(capture)
        device.graphStreams += graph.streams
        try set(modelRI, world.register(graph), "modelRI")
        thread.note = "\(graph.nodes.count) tasks"
    }
}

@c @implementation public func aclmdlRICaptureThreadExchangeMode(
    _ mode: UnsafeMutablePointer<aclmdlRICaptureMode>?
) -> aclError {
    world.enter("aclmdlRICaptureThreadExchangeMode") { _, thread throws(Failure) in
        guard let mode, mode.pointee.rawValue <= 2 else {
            throw Failure(107000, "aclmdlRICaptureThreadExchangeMode: unknown mode")
        }
        let old = thread.captureMode
        thread.captureMode = mode.pointee.rawValue
        mode.pointee = aclmdlRICaptureMode(rawValue: old)
    }
}

@c @implementation public func aclmdlRIExecuteAsync(_ modelRI: aclmdlRI?, _ stream: aclrtStream?) -> aclError {
    world.enter("aclmdlRIExecuteAsync") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        let graph = try world.object(modelRI, Graph.self, 107017, "modelRI")
        try require(graph.device === object.device, 107000, "aclmdlRIExecuteAsync: the graph is of another device")
        try object.enqueue(.replay(graph), at: thread.clock)
        graph.running += 1
    }
}

@c @implementation public func aclmdlRIExecute(_ modelRI: aclmdlRI?, _ timeout: Int32) -> aclError {
    world.enter("aclmdlRIExecute") { world, thread throws(Failure) in
        let graph = try world.object(modelRI, Graph.self, 107017, "modelRI")
        let stream = try thread.current().standard
        try stream.enqueue(.replay(graph), at: thread.clock)
        graph.running += 1
        try world.synchronize(stream, milliseconds: Int(timeout), thread)
    }
}

@c @implementation public func aclmdlRIDestroy(_ modelRI: aclmdlRI?) -> aclError {
    world.enter("aclmdlRIDestroy") { world, _ throws(Failure) in
        let graph = try world.object(modelRI, Graph.self, 107017, "modelRI")
        try require(graph.running == 0, 107037, "aclmdlRIDestroy: the graph is running")
        graph.device.graphStreams -= graph.streams
        world.forget(modelRI)
    }
}

@c @implementation public func aclmdlRIAbort(_ modelRI: aclmdlRI?) -> aclError {
    world.enter("aclmdlRIAbort") { world, _ throws(Failure) in
        _ = try world.object(modelRI, Graph.self, 107017, "modelRI")
        throw Failure(207000, "aclmdlRIAbort: not simulated")
    }
}

@c @implementation public func aclmdlRICaptureTaskGrpBegin(_ stream: aclrtStream?) -> aclError {
    world.enter("aclmdlRICaptureTaskGrpBegin") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try require(object.capture != nil, 107029, "aclmdlRICaptureTaskGrpBegin: the stream does not capture")
        try require(object.group == nil, 107033, "aclmdlRICaptureTaskGrpBegin: a group is open already")
        object.group = TaskGroup()
    }
}

@c @implementation public func aclmdlRICaptureTaskGrpEnd(
    _ stream: aclrtStream?, _ handle: UnsafeMutablePointer<aclrtTaskGrp?>?
) -> aclError {
    world.enter("aclmdlRICaptureTaskGrpEnd") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try require(object.capture != nil, 107029, "aclmdlRICaptureTaskGrpEnd: the stream does not capture")
        guard let group = object.group else { throw Failure(107033, "aclmdlRICaptureTaskGrpEnd: no group is open") }
        object.group = nil
        try set(handle, world.register(group), "handle")
    }
}

@c @implementation public func aclmdlRICaptureTaskUpdateBegin(
    _ stream: aclrtStream?, _ handle: aclrtTaskGrp?
) -> aclError {
    world.enter("aclmdlRICaptureTaskUpdateBegin") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try require(object.capture == nil, 107027, "aclmdlRICaptureTaskUpdateBegin: the stream captures")
        try require(object.update == nil, 107033, "aclmdlRICaptureTaskUpdateBegin: an update is under way")
        object.update = (try world.object(handle, TaskGroup.self, 107017, "handle"), [])
    }
}

@c @implementation public func aclmdlRICaptureTaskUpdateEnd(_ stream: aclrtStream?) -> aclError {
    world.enter("aclmdlRICaptureTaskUpdateEnd") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        guard let update = object.update else {
            throw Failure(107033, "aclmdlRICaptureTaskUpdateEnd: no update was begun on the stream")
        }
        object.update = nil
        let names = update.group.nodes.map { node -> String in
            guard case .kernel(let kernel) = node.work else { return "" }
            return kernel.name
        }
        try require(
            names == update.kernels.map(\.name), 107033,
            "aclmdlRICaptureTaskUpdateEnd: the group has \(names), the update \(update.kernels.map(\.name))")
        try object.enqueue(.update(update.group, update.kernels), at: thread.clock)
    }
}
