import Glibc

/// A file descriptor that text is written to without a buffer in between: what was written has left the process.
package struct StandardStream: Sendable {
    /// Where answers go, and nothing else.
    package static let output = StandardStream(descriptor: STDOUT_FILENO)
    /// Where progress, warnings and errors go.
    package static let error = StandardStream(descriptor: STDERR_FILENO)

    /// Why a write failed.
    package enum WriteError: Error, Equatable {
        /// The reader has gone, as after `| head -1`.
        case brokenPipe
        /// Anything else, with the system's error number.
        case system(Int32)
    }

    /// The file descriptor.
    package let descriptor: Int32
    /// What may be written to it.
    package let terminal: Terminal

    /// Wraps an open file descriptor, which stays the caller's to close.
    package init(descriptor: Int32) {
        self.descriptor = descriptor
        terminal = Terminal(descriptor)
    }

    /// Writes all of the text; blocks while the reader is slow.
    package func write(_ text: String) throws(WriteError) {
        var text = text
        var failure: Int32 = 0
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
                } else if errno != EINTR {
                    failure = errno
                    return
                }
            }
        }
        guard failure == 0 else { throw failure == EPIPE ? .brokenPipe : .system(failure) }
    }

    /// Writes a line, and ignores a reader that has gone: for messages whose loss must not change what the program does.
    package func note(_ line: String) {
        do {
            try write(line + "\n")
        } catch {}
    }
}

/// The text of a system error number.
package func describeSystemError(_ number: Int32) -> String {
    String(cString: strerror(number))
}

/// To be called first in every program.
///
/// Writing to a closed pipe becomes an error of the write rather than the death of the process, so that the program can
/// still tell the server to stop. And a standard descriptor that was closed (`>&-`) is opened on /dev/null: otherwise
/// the next socket would get its number, and text for a person would go to the server.
package func prepareProcess() {
    signal(SIGPIPE, SIG_IGN)
    // The lowest free number is given out first, so the loop ends with the first number above the standard ones.
    var descriptor: Int32
    repeat { descriptor = open("/dev/null", O_RDWR) } while (0...STDERR_FILENO).contains(descriptor)
    if descriptor >= 0 { close(descriptor) }
}
