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

    /// Milliseconds that a line waits for a reader that does not read.
    private static let patience: Int32 = 200

    /// Writes a line, and drops it when that is not possible: the reader has gone or stands still, the disk is full. For
    /// messages whose loss must not change what the program does.
    package func note(_ line: String) {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&entry, 1, Self.patience) != 0 else { return }
        do {
            try write(line + "\n")
        } catch {}
    }
}

/// Writes a text file, over what is there.
package func saveText(_ text: String, to path: String) throws(ProgramError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    var failure = descriptor < 0 ? errno : 0
    if descriptor >= 0 {
        defer { close(descriptor) }
        do {
            try StandardStream(descriptor: descriptor).write(text)
        } catch {
            failure = if case .system(let number) = error { number } else { EPIPE }
        }
    }
    guard failure == 0 else {
        throw ProgramError(.localInputOutput, "cannot write \(path): \(describeSystemError(failure))")
    }
}

/// The text of a system error number.
package func describeSystemError(_ number: Int32) -> String {
    String(cString: strerror(number))
}

/// To be called first in every program.
///
/// Writing to a closed pipe, or to a file that may not grow, becomes an error of the write rather than the death of the
/// process: a client can still tell the server to stop, and a server goes on without its log. And a standard descriptor that was closed (`>&-`) is opened on /dev/null: otherwise
/// the next socket would get its number, and text for a person would go to the server.
package func prepareProcess() {
    for death in [SIGPIPE, SIGXFSZ] { signal(death, SIG_IGN) }
    // The lowest free number is given out first, so the loop ends with the first number above the standard ones.
    var descriptor: Int32
    repeat { descriptor = open("/dev/null", O_RDWR) } while (0...STDERR_FILENO).contains(descriptor)
    if descriptor >= 0 { close(descriptor) }
}
