internal import Glibc

/// A refused call: the code that it returns and what `aclGetRecentErrMsg` then says.
struct Failure: Error {
    let code: Int32
    let message: String

    init(_ code: Int32, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The first stage of an operator was given what it does not take.
    static func invalid(_ message: String) -> Failure { Failure(161002, message) }
}

func require(_ condition: Bool, _ code: Int32, _ message: @autoclosure () -> String) throws(Failure) {
    if !condition { throw Failure(code, message()) }
}

func variable(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
}

/// A line for people about a mistake that has no call to return from: it shows up later and elsewhere.
func report(_ message: String) {
    let line = "ascendsim: \(message)\n"
    _ = line.utf8.withContiguousStorageIfAvailable { Glibc.write(2, $0.baseAddress, $0.count) }
}
