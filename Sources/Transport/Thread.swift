internal import CLinux
internal import Glibc

/// A POSIX thread that runs one body.
struct Thread: Sendable {
    private let handle: pthread_t

    /// Starts a thread.
    ///
    /// - Parameter name: shown by `top -H`; 15 bytes are kept.
    /// - Throws: `system` when the machine has no thread left.
    init(name: String, _ body: @escaping @Sendable () -> Void) throws(TransportError) {
        let start = Unmanaged.passRetained(Body(name: name, body))
        var handle = pthread_t()
        let status = pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                cl_name_thread(String(start.name.prefix(15)))
                start.body()
                return nil
            }, start.toOpaque())
        guard status == 0 else {
            start.release()
            throw TransportError("starting the thread \(name)", errno: status)
        }
        self.handle = handle
    }

    /// Waits until the body has returned.
    func join() { pthread_join(handle, nil) }

    /// Lets the thread end unobserved.
    func detach() { pthread_detach(handle) }

    private final class Body: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}
