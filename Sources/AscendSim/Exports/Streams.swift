// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend.

public import CAscend
internal import Glibc

@c @implementation public func aclrtCreateStream(_ stream: UnsafeMutablePointer<aclrtStream?>?) -> aclError {
    aclrtCreateStreamWithConfig(stream, 0, 0)
}

@c @implementation public func aclrtCreateStreamWithConfig(
    _ stream: UnsafeMutablePointer<aclrtStream?>?, _ priority: UInt32, _ flag: UInt32
) -> aclError {
    world.enter("aclrtCreateStream") { world, thread throws(Failure) in
        let context = try thread.current()
        try require(flag & ~3 == 0, 107000, "aclrtCreateStreamWithConfig: unknown flag")
        let device = context.device
        let limit = world.settings.profile.streamLimit
        try require(
            device.streams.count + device.graphStreams < limit, 207008,
            "device \(device.id) has \(limit) streams already")
        let made = Stream(device)
        made.context = context
        try set(stream, world.register(made), "stream")
    }
}

@c @implementation public func aclrtDestroyStream(_ stream: aclrtStream?) -> aclError {
    world.enter("aclrtDestroyStream") { world, thread throws(Failure) in
        let object = try world.explicitStream(stream, thread)
        try world.refuseCaptured(object, "aclrtDestroyStream")
        _ = world.lock.wait(milliseconds: -1) { object.isIdle }
        world.drop(object, stream)
    }
}

@c @implementation public func aclrtDestroyStreamForce(_ stream: aclrtStream?) -> aclError {
    world.enter("aclrtDestroyStreamForce") { world, thread throws(Failure) in
        world.drop(try world.explicitStream(stream, thread), stream)
    }
}

@c @implementation public func aclrtSynchronizeStream(_ stream: aclrtStream?) -> aclError {
    world.enter("aclrtSynchronizeStream") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try world.refuseCaptured(object, "aclrtSynchronizeStream")
        try world.synchronize(object, milliseconds: -1, thread)
    }
}

@c @implementation public func aclrtSynchronizeStreamWithTimeout(_ stream: aclrtStream?, _ timeout: Int32) -> aclError {
    world.enter("aclrtSynchronizeStreamWithTimeout") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try world.refuseCaptured(object, "aclrtSynchronizeStreamWithTimeout")
        try world.synchronize(object, milliseconds: Int(timeout), thread)
    }
}

@c @implementation public func aclrtStreamQuery(
    _ stream: aclrtStream?, _ status: UnsafeMutablePointer<aclrtStreamStatus>?
) -> aclError {
    world.enter("aclrtStreamQuery") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try world.refuseCaptured(object, "aclrtStreamQuery")
        try set(status, object.isIdle ? ACL_STREAM_STATUS_COMPLETE : ACL_STREAM_STATUS_NOT_READY, "status")
    }
}

@c @implementation public func aclrtStreamWaitEvent(_ stream: aclrtStream?, _ event: aclrtEvent?) -> aclError {
    world.enter("aclrtStreamWaitEvent") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        let event = try world.object(event, Event.self, 107017, "event")
        try require(
            !event.isRerecorded || event.flags & 1 != 0, 107000, "aclrtStreamWaitEvent: the event lacks ACL_EVENT_SYNC")
        if event.isExternal { return try object.enqueue(.wait(event, event.recorded), at: thread.clock) }
        if let capture = object.capture {
            guard let recorded = event.capture else {
                throw Failure(107024, "aclrtStreamWaitEvent: the event was not recorded in this capture")
            }
            try require(recorded === capture, 107032, "aclrtStreamWaitEvent: event and stream are in two captures")
            return capture.join(object, after: event)
        }
        if let capture = event.capture { return capture.join(object, after: event) }
        try object.enqueue(.wait(event, event.recorded), at: thread.clock)
    }
}

@c @implementation public func aclrtStreamGetId(
    _ stream: aclrtStream?, _ streamId: UnsafeMutablePointer<Int32>?
) -> aclError {
    world.enter("aclrtStreamGetId") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try set(streamId, Int32(object.device.streams.firstIndex { $0 === object } ?? 0), "streamId")
    }
}

@c @implementation public func aclrtStreamAbort(_ stream: aclrtStream?) -> aclError {
    world.enter("aclrtStreamAbort") { world, thread throws(Failure) in
        try world.stream(stream, thread).failure = Failure(107023, "the stream was aborted")
    }
}

@c @implementation public func aclrtSetStreamFailureMode(_ stream: aclrtStream?, _ mode: UInt64) -> aclError {
    world.enter("aclrtSetStreamFailureMode") { world, thread throws(Failure) in
        _ = try world.stream(stream, thread)
        try require(mode <= 1, 107000, "aclrtSetStreamFailureMode: mode is 0 or 1")
    }
}

@c @implementation public func aclrtSetOpExecuteTimeOut(_ timeout: UInt32) -> aclError {
    world.enter("aclrtSetOpExecuteTimeOut") { _, _ throws(Failure) in }
}

@c @implementation public func aclrtSetOpWaitTimeout(_ timeout: UInt32) -> aclError {
    world.enter("aclrtSetOpWaitTimeout") { _, _ throws(Failure) in }
}

@c @implementation public func aclrtGetStreamAvailableNum(_ streamCount: UnsafeMutablePointer<UInt32>?) -> aclError {
    world.enter("aclrtGetStreamAvailableNum") { world, thread throws(Failure) in
        let device = try thread.current().device
        let used = device.streams.count + device.graphStreams
        try set(streamCount, UInt32(max(0, world.settings.profile.streamLimit - used)), "streamCount")
    }
}

@c @implementation public func aclrtCtxGetCurrentDefaultStream(
    _ stream: UnsafeMutablePointer<aclrtStream?>?
) -> aclError {
    world.enter("aclrtCtxGetCurrentDefaultStream") { world, thread throws(Failure) in
        try set(stream, try thread.current().standardHandle, "stream")
    }
}

// MARK: - Events

@c @implementation public func aclrtCreateEvent(_ event: UnsafeMutablePointer<aclrtEvent?>?) -> aclError {
    create("aclrtCreateEvent", event, 0xB, isRerecorded: false)
}

@c @implementation public func aclrtCreateEventWithFlag(
    _ event: UnsafeMutablePointer<aclrtEvent?>?, _ flag: UInt32
) -> aclError {
    create("aclrtCreateEventWithFlag", event, flag, isRerecorded: false)
}

@c @implementation public func aclrtCreateEventExWithFlag(
    _ event: UnsafeMutablePointer<aclrtEvent?>?, _ flag: UInt32
) -> aclError {
    create("aclrtCreateEventExWithFlag", event, flag, isRerecorded: true)
}

private func create(
    _ name: String, _ event: UnsafeMutablePointer<aclrtEvent?>?, _ flag: UInt32, isRerecorded: Bool
) -> aclError {
    world.enter(name) { world, thread throws(Failure) in
        let device = try thread.current().device
        try require(flag != 0 && flag & ~0x2B == 0, 107000, "\(name): flags \(flag) are not known")
        let limit = world.settings.profile.eventLimit
        try require(device.events < limit, 207007, "device \(device.id) has \(limit) events already")
        device.events += 1
        try set(event, world.register(Event(device, flags: flag, isRerecorded: isRerecorded)), "event")
    }
}

@c @implementation public func aclrtDestroyEvent(_ event: aclrtEvent?) -> aclError {
    world.enter("aclrtDestroyEvent") { world, _ throws(Failure) in
        let object = try world.object(event, Event.self, 107017, "event")
        object.device.events -= 1
        world.forget(event)
    }
}

@c @implementation public func aclrtRecordEvent(_ event: aclrtEvent?, _ stream: aclrtStream?) -> aclError {
    world.enter("aclrtRecordEvent") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        let event = try world.object(event, Event.self, 107017, "event")
        if let capture = object.capture, !event.isExternal { return capture.record(event, on: object) }
        event.capture = nil
        event.recorded += 1
        try object.enqueue(.record(event), at: thread.clock)
    }
}

@c @implementation public func aclrtResetEvent(_ event: aclrtEvent?, _ stream: aclrtStream?) -> aclError {
    world.enter("aclrtResetEvent") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        let event = try world.object(event, Event.self, 107017, "event")
        try require(
            !event.isRerecorded && event.flags & 0x21 != 0, 107000,
            "aclrtResetEvent: only events of aclrtCreateEventWithFlag with ACL_EVENT_SYNC or ACL_EVENT_EXTERNAL")
        try object.enqueue(.reset(event), at: thread.clock)
    }
}

@c @implementation public func aclrtQueryEventStatus(
    _ event: aclrtEvent?, _ status: UnsafeMutablePointer<aclrtEventRecordedStatus>?
) -> aclError {
    world.enter("aclrtQueryEventStatus") { world, _ throws(Failure) in
        let event = try world.uncapturedEvent(event, "aclrtQueryEventStatus")
        let isComplete = event.recorded == event.reached && (event.isRerecorded || event.recorded > 0)
        try set(
            status, isComplete ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY, "status")
    }
}

@c @implementation public func aclrtQueryEventWaitStatus(
    _ event: aclrtEvent?, _ status: UnsafeMutablePointer<aclrtEventWaitStatus>?
) -> aclError {
    world.enter("aclrtQueryEventWaitStatus") { world, _ throws(Failure) in
        let event = try world.uncapturedEvent(event, "aclrtQueryEventWaitStatus")
        try require(!event.isRerecorded, 107000, "aclrtQueryEventWaitStatus: not for events that are recorded again")
        try set(status, event.isSet ? ACL_EVENT_WAIT_STATUS_NOT_READY : ACL_EVENT_WAIT_STATUS_COMPLETE, "status")
    }
}

@c @implementation public func aclrtSynchronizeEvent(_ event: aclrtEvent?) -> aclError {
    aclrtSynchronizeEventWithTimeout(event, -1)
}

@c @implementation public func aclrtSynchronizeEventWithTimeout(_ event: aclrtEvent?, _ timeout: Int32) -> aclError {
    world.enter("aclrtSynchronizeEvent") { world, thread throws(Failure) in
        let event = try world.uncapturedEvent(event, "aclrtSynchronizeEvent")
        let target = event.recorded
        let isDone = world.lock.wait(milliseconds: Int(timeout)) {
            event.reached >= target || event.device.failure != nil
        }
        if let failure = event.device.failure { throw failure }
        try require(isDone, 507046, "aclrtSynchronizeEvent: not reached within \(timeout) ms")
        thread.clock = max(thread.clock, event.clock)
    }
}

@c @implementation public func aclrtEventElapsedTime(
    _ ms: UnsafeMutablePointer<Float>?, _ startEvent: aclrtEvent?, _ endEvent: aclrtEvent?
) -> aclError {
    world.enter("aclrtEventElapsedTime") { world, _ throws(Failure) in
        let start = try world.uncapturedEvent(startEvent, "aclrtEventElapsedTime")
        let end = try world.uncapturedEvent(endEvent, "aclrtEventElapsedTime")
        try require(start.flags & end.flags & 8 != 0, 107000, "aclrtEventElapsedTime: events lack ACL_EVENT_TIME_LINE")
        try require(start.reached > 0 && end.reached > 0, 107000, "aclrtEventElapsedTime: events are not reached")
        try set(ms, Float((end.clock - start.clock) / 1000), "ms")
    }
}

// MARK: - Host functions

@c @implementation public func aclrtSubscribeReport(_ threadId: UInt64, _ stream: aclrtStream?) -> aclError {
    world.enter("aclrtSubscribeReport") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try require(object.reportThread == 0, 107011, "aclrtSubscribeReport: the stream has a thread already")
        object.reportThread = threadId
    }
}

@c @implementation public func aclrtUnSubscribeReport(_ threadId: UInt64, _ stream: aclrtStream?) -> aclError {
    world.enter("aclrtUnSubscribeReport") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try require(object.reportThread == threadId, 107012, "aclrtUnSubscribeReport: not the stream's thread")
        object.reportThread = 0
    }
}

@c @implementation public func aclrtProcessReport(_ timeout: Int32) -> aclError {
    world.enter("aclrtProcessReport") { _, _ throws(Failure) in
        throw Failure(207000, "aclrtProcessReport: not simulated, use aclrtLaunchHostFunc")
    }
}

@c @implementation public func aclrtLaunchCallback(
    _ fn: aclrtCallback?, _ userData: UnsafeMutableRawPointer?, _ blockType: aclrtCallbackBlockType,
    _ stream: aclrtStream?
) -> aclError {
    world.enter("aclrtLaunchCallback") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        try require(object.reportThread != 0, 107015, "aclrtLaunchCallback: no thread is subscribed for the stream")
        throw Failure(207000, "aclrtLaunchCallback: not simulated, use aclrtLaunchHostFunc")
    }
}

@c @implementation public func aclrtLaunchHostFunc(
    _ stream: aclrtStream?, _ fn: aclrtHostFunc?, _ args: UnsafeMutableRawPointer?
) -> aclError {
    world.enter("aclrtLaunchHostFunc") { world, thread throws(Failure) in
        let object = try world.stream(stream, thread)
        guard let fn else { throw Failure(107000, "aclrtLaunchHostFunc: fn is NULL") }
        let address = UInt(bitPattern: args)
        try object.enqueue(.host { fn(UnsafeMutableRawPointer(bitPattern: address)) }, at: thread.clock)
    }
}

// MARK: - Finding and waiting

extension World {
    /// The stream of a handle, NULL for the default one, which must be of the thread's context.
    func stream(_ handle: aclrtStream?, _ thread: ThreadState) throws(Failure) -> Stream {
        let context = try thread.current()
        if let failure = context.device.failure, failure.code == 507010 { throw failure }
        guard let handle else { return context.standard }
        let stream = try object(handle, Stream.self, 107017, "stream")
        try require(stream.context === context, 107003, "the stream is not of the context of this thread")
        return stream
    }

    func explicitStream(_ handle: aclrtStream?, _ thread: ThreadState) throws(Failure) -> Stream {
        _ = try thread.current()
        return try object(handle, Stream.self, 107017, "stream")
    }

    func drop(_ stream: Stream, _ handle: aclrtStream?) {
        stream.end()
        stream.device.streams.removeAll { $0 === stream }
        forget(handle)
    }

    /// What would wait for a stream that captures ruins the capture.
    func refuseCaptured(_ stream: Stream, _ call: String) throws(Failure) {
        guard let capture = stream.capture else { return }
        let failure = Failure(107027, "\(call): not allowed on a stream that captures")
        capture.invalidation = failure
        throw failure
    }

    func uncapturedEvent(_ handle: aclrtEvent?, _ call: String) throws(Failure) -> Event {
        let event = try object(handle, Event.self, 107017, "event")
        try require(event.capture == nil, 107028, "\(call): the event was recorded in a capture")
        return event
    }

    /// Waits for a stream and says what went wrong on it.
    func synchronize(_ stream: Stream, milliseconds: Int, _ thread: ThreadState) throws(Failure) {
        let target = stream.enqueued
        let isDone = lock.wait(milliseconds: milliseconds) { stream.completed >= target }
        if let failure = stream.device.failure { throw failure }
        if let failure = stream.device.pending {
            stream.device.pending = nil
            throw failure
        }
        if let failure = stream.failure {
            stream.failure = nil
            throw failure
        }
        try require(isDone, 507046, "not done within \(milliseconds) ms")
        thread.clock = max(thread.clock, stream.clock)
        thread.note = "host \(Int(thread.clock)) us, stream \(Int(stream.clock)) us"
    }
}
