internal import Glibc

/// The simulated machine. Everything in it and in what it holds is touched only between `enter` and its end, or by a
/// stream's thread that holds `lock`.
final class World: @unchecked Sendable {  // Protected by `lock`.
    let lock = Lock()
    var settings: Settings
    let memory = DeviceMemory()
    var devices: [Device] = []
    var isInitialised = false
    /// Handles that are alive; their objects are retained by it.
    var handles: [UInt: AnyObject] = [:]
    private var nextHandle: UInt = 1 << 20
    /// Host memory whose copies may be asynchronous: base to bytes.
    var pinned: [UInt: Int] = [:]
    var faults: [Fault] = []
    var trace = Trace(path: nil)
    /// Captures that forbid unsafe calls on every thread.
    var globalCaptures = 0
    var groups: [String: CollectiveGroup] = [:]
    /// Groups that were begun, for their names.
    var rootCount = 0

    init() {
        do {
            settings = try Settings()
        } catch {
            report(error.message)
            exit(2)
        }
        start()
    }

    /// Reads the settings again and forgets all state but memory that is allocated.
    func restart() throws(Failure) {
        lock.lock()
        defer { lock.unlock() }
        for device in devices { device.reset() }
        settings = try Settings()
        for device in devices.indices { memory.dropAll(device: device) }
        memory.restart()
        handles = [:]
        pinned = [:]
        isInitialised = false
        globalCaptures = 0
        groups = [:]
        thread().forget()
        start()
        lock.wakeAll()
    }

    private func start() {
        faults = settings.faults
        trace = Trace(path: settings.tracePath)
        devices = (0..<settings.deviceCount).map { Device($0, seed: settings.seed) }
    }

    // MARK: Calls

    /// Runs one call of the runtime: traced, struck by faults, refused before `aclInit`.
    func enter(
        _ name: String, needsInit: Bool = true, _ body: (World, ThreadState) throws(Failure) -> Void
    ) -> Int32 {
        lock.lock()
        defer { lock.unlock() }
        let thread = thread()
        thread.clock += Cost.call
        var detached: Failure?
        do {
            try strike(name, &detached)
            try require(isInitialised || !needsInit, 100001, "\(name): aclInit was not called")
            try body(self, thread)
            trace.write(name, thread.note)
            thread.note = ""
            if let detached, let device = thread.context?.device {
                if Device.stays(detached.code) { device.fail(detached) } else { device.pending = detached }
            }
            return 0
        } catch {
            thread.message = "E\(error.code / 100000)9999: \(error.message)"
            thread.lastError = error.code
            thread.note = ""
            trace.write(name, "-> \(error.code) \(error.message)")
            return error.code
        }
    }

    private func strike(_ name: String, _ detached: inout Failure?) throws(Failure) {
        var failure: Failure?
        var pause = 0
        for index in faults.indices {
            switch faults[index].kind {
            case .fail(let code, let isAsync, _):
                guard faults[index].strikes(name) else { continue }
                let planted = Failure(code, "\(name): planted fault")
                if isAsync { detached = planted } else { failure = failure ?? planted }
            case .hang(let milliseconds):
                if faults[index].strikes(name) { pause = milliseconds }
            // Struck where the operator runs, memory is allocated and tasks are counted.
            case .stall, .nan, .rot, .outOfMemory, .lost: continue
            }
        }
        hang(milliseconds: pause)
        if let failure { throw failure }
    }

    /// Holds a call up, for ever if the number is negative. Nothing but time wakes it, not even what ends other waits.
    private func hang(milliseconds: Int) {
        var left = milliseconds
        guard left != 0 else { return }
        lock.unlock()
        while left != 0 {
            let part = left < 0 ? 1_000 : min(left, 1_000)
            usleep(UInt32(part) * 1_000)
            if left > 0 { left -= part }
        }
        lock.lock()
    }

    /// Milliseconds that the next task of an operator stands still.
    func stall(of name: String) -> Int? {
        var time: Int?
        for index in faults.indices {
            if case .stall(let milliseconds) = faults[index].kind, faults[index].strikes(name) {
                time = Int(milliseconds)
            }
        }
        return time
    }

    /// Lets memory go bad whose time has come.
    func rot(_ device: Device) {
        let due = faults.firstIndex { if case .rot(let tasks, _, _) = $0.kind { device.tasks > tasks } else { false } }
        guard let due, case .rot(_, let offset, let bytes) = faults.remove(at: due).kind else { return }
        memory.rot(device: device.id, offset: offset, bytes: bytes)
    }

    // MARK: Handles

    /// A new handle of an object. A number that is never given again, so that a stale one is always told.
    func register(_ object: AnyObject) -> UnsafeMutableRawPointer? {
        nextHandle += 64
        handles[nextHandle] = object
        return UnsafeMutableRawPointer(bitPattern: nextHandle)
    }

    func object<Object: AnyObject>(
        _ pointer: UnsafeRawPointer?, _ type: Object.Type, _ code: Int32, _ what: String
    ) throws(Failure) -> Object {
        guard let pointer else { throw Failure(code, "\(what) is NULL") }
        guard let object = handles[UInt(bitPattern: pointer)] as? Object else {
            throw Failure(code, "\(what) is not a live \(Object.self)")
        }
        return object
    }

    func forget(_ pointer: UnsafeRawPointer?) {
        handles[UInt(bitPattern: pointer)] = nil
    }

    // MARK: The calling thread

    /// State of the calling thread.
    func thread() -> ThreadState {
        if let pointer = pthread_getspecific(threadKey) {
            return Unmanaged<ThreadState>.fromOpaque(pointer).takeUnretainedValue()
        }
        let state = ThreadState()
        pthread_setspecific(threadKey, Unmanaged.passRetained(state).toOpaque())
        return state
    }

    private let threadKey: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key) { pointer in
            if let pointer { Unmanaged<ThreadState>.fromOpaque(pointer).release() }
        }
        return key
    }()
}

let world = World()

/// What the runtime keeps for each thread of the program.
final class ThreadState {
    var context: Context?
    /// What `aclGetRecentErrMsg` will say.
    var message: String?
    /// What it said last, kept until its next call.
    var spoken: UnsafeMutablePointer<CChar>?
    var lastError: Int32 = 0
    var captureMode: UInt32 = 0
    /// Captures of this thread that forbid unsafe calls on it.
    var localCaptures = 0
    /// What the last first stage made, until something is launched.
    var planned: Executor?
    /// Microseconds of simulated time on the host.
    var clock = 0.0
    /// For the trace, about the call that is under way.
    var note = ""

    func forget() {
        context = nil
        message = nil
        lastError = 0
        captureMode = 0
        localCaptures = 0
        planned = nil
        clock = 0
    }

    deinit { free(spoken) }
}

/// A file with a line per call.
struct Trace {
    private let file: UnsafeMutablePointer<FILE>?

    init(path: String?) {
        file = path.flatMap { fopen($0, "w") }
        if let file { setvbuf(file, nil, Int32(_IOLBF), 0) }
    }

    var isOn: Bool { file != nil }

    func write(_ call: String, _ note: String) {
        guard let file else { return }
        fputs(note.isEmpty ? "\(call)\n" : "\(call) \(note)\n", file)
    }
}
