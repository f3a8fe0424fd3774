internal import CAscend
internal import Glibc

/// One NPU and the stream on which everything happens. Each thread that uses it must have entered it.
final class AscendDevice {
    /// Its number among those that this process sees.
    let index: Int32
    let chip: AscendChip
    private(set) var stream: aclrtStream?
    private let libraries = AscendLibraries.shared
    private var context: aclrtContext?
    private var thread: pthread_t?

    /// Sets the device up on this thread.
    ///
    /// - Throws: what the runtime returned.
    init(index: Int32) throws(AscendError) {
        self.index = index
        let runtime = libraries.runtime
        try Self.initialize(libraries)
        try libraries.call("aclrtSetDevice", runtime.aclrtSetDevice) { $0(index) }
        chip = try AscendChip.current()
        var context: aclrtContext?
        try libraries.call("aclrtGetCurrentContext", runtime.aclrtGetCurrentContext) { $0(&context) }
        self.context = context
        stream = try makeStream()
        thread = pthread_self()
    }

    /// NPUs that this process sees.
    ///
    /// - Throws: what the runtime returned.
    static func count() throws(AscendError) -> Int {
        let libraries = AscendLibraries.shared
        try initialize(libraries)
        var count: UInt32 = 0
        try libraries.call("aclrtGetDeviceCount", libraries.runtime.aclrtGetDeviceCount) { $0(&count) }
        return Int(count)
    }

    /// Makes the runtime ready, which comes before everything else.
    ///
    /// - Throws: what the runtime returned.
    static func initialize(_ libraries: AscendLibraries) throws(AscendError) {
        do throws(AscendError) {
            try libraries.call("aclInit", libraries.runtime.aclInit) { $0(nil) }
        } catch  where error.code == ACL_ERROR_REPEAT_INITIALIZE {
            // Others of this process may have been first.
        } catch {
            throw error
        }
    }

    /// Makes the device this thread's, which each thread that calls it must have.
    ///
    /// - Throws: what the runtime returned.
    func enter() throws(AscendError) {
        let own = pthread_self()
        guard thread != own else { return }
        try libraries.call("aclrtSetCurrentContext", libraries.runtime.aclrtSetCurrentContext) { $0(context) }
        thread = own
    }

    /// A stream beside the device's own.
    ///
    /// - Throws: what the runtime returned.
    func makeStream() throws(AscendError) -> aclrtStream? {
        var stream: aclrtStream?
        let flags = UInt32(ACL_STREAM_FAST_LAUNCH | ACL_STREAM_FAST_SYNC)
        try libraries.call("aclrtCreateStreamWithConfig", libraries.runtime.aclrtCreateStreamWithConfig) {
            $0(&stream, 0, flags)
        }
        return stream
    }

    /// Ends a stream. `isForced` is for a device that does not answer any more: nothing is waited for.
    ///
    /// Failures are of no use here: what is left goes away with the reset.
    func end(_ stream: aclrtStream, isForced: Bool) {
        let runtime = libraries.runtime
        _ = DriverCall.during(isForced ? "aclrtDestroyStreamForce" : "aclrtDestroyStream") {
            isForced ? runtime.aclrtDestroyStreamForce?(stream) : runtime.aclrtDestroyStream?(stream)
        }
    }

    /// Puts another stream in the place of the device's own: one whose capture failed may be of no use any more.
    ///
    /// - Throws: what the runtime returned.
    func renewStream() throws(AscendError) {
        stop(isForced: true)
        stream = try makeStream()
    }

    /// Ends the device's own stream.
    func stop(isForced: Bool) {
        if let stream { end(stream, isForced: isForced) }
        stream = nil
    }

    /// Gives the device back.
    func close(isForced: Bool) {
        let runtime = libraries.runtime
        _ = DriverCall.during(isForced ? "aclrtResetDeviceForce" : "aclrtResetDevice") {
            isForced ? runtime.aclrtResetDeviceForce?(index) : runtime.aclrtResetDevice?(index)
        }
    }

    /// Waits until everything on the stream is done.
    ///
    /// - Throws: what became of it; a time-out after `timeout` milliseconds.
    func synchronize(timeout: Int32) throws(AscendError) {
        try libraries.call(
            "aclrtSynchronizeStreamWithTimeout", libraries.runtime.aclrtSynchronizeStreamWithTimeout
        ) { $0(stream, timeout) }
    }

    /// Bytes of the device's memory.
    ///
    /// - Throws: what the runtime returned.
    func memory() throws(AscendError) -> (free: Int, total: Int) {
        var (free, total) = (0, 0)
        try libraries.call("aclrtGetMemInfo", libraries.runtime.aclrtGetMemInfo) { $0(ACL_HBM_MEM, &free, &total) }
        return (free, total)
    }

    /// Copies from pinned host memory behind what is on the stream.
    ///
    /// - Throws: what the runtime returned.
    func upload(
        _ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, count: Int
    ) throws(AscendError) {
        try copy(target, source, count, ACL_MEMCPY_HOST_TO_DEVICE)
    }

    /// Copies to pinned host memory behind what is on the stream.
    ///
    /// - Throws: what the runtime returned.
    func download(
        _ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, count: Int
    ) throws(AscendError) {
        try copy(target, source, count, ACL_MEMCPY_DEVICE_TO_HOST)
    }

    private func copy(
        _ target: UnsafeMutableRawPointer, _ source: UnsafeRawPointer, _ count: Int, _ kind: aclrtMemcpyKind
    ) throws(AscendError) {
        try libraries.call("aclrtMemcpyAsync", libraries.runtime.aclrtMemcpyAsync) {
            $0(target, count, source, count, kind, stream)
        }
    }
}
