internal import Glibc

/// The bytes of a file, mapped read-only for as long as the object lives.
///
/// The mapping is private, but a file that another process shortens while it is mapped still ends this process
/// (SIGBUS): replace model files by renaming, never by rewriting.
package final class MappedFile: @unchecked Sendable {  // immutable after init
    /// Where the bytes came from, for messages.
    package let path: String
    /// All bytes of the file; at least one.
    package let bytes: UnsafeRawBufferPointer
    /// When the file was last written, in nanoseconds since 1970; 0 for bytes that are in no file.
    let modified: Int64

    /// Maps a regular file.
    ///
    /// - Throws: `modelNotFound` when it cannot be opened, `invalidModel` when it is empty or no regular file.
    package init(path: String) throws(EngineError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw EngineError(.modelNotFound, "\(path): cannot be opened: \(Self.message(errno))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw EngineError(.modelNotFound, "\(path): cannot be examined: \(Self.message(errno))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw EngineError(.invalidModel, "\(path): is not a regular file; name a model file")
        }
        guard let count = Int(exactly: status.st_size), count > 0 else {
            throw EngineError(.invalidModel, "\(path): is empty; copy or download it again")
        }
        self.path = path
        modified = Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
        self.bytes = try Self.map(count, descriptor: descriptor, flags: MAP_PRIVATE, path: path)
    }

    /// Puts bytes that are already in memory behind the same interface: what tests and fuzzers feed the readers.
    package convenience init(contents: [UInt8], name: String) throws(EngineError) {
        guard !contents.isEmpty else {
            throw EngineError(.invalidModel, "\(name): is empty; copy or download it again")
        }
        try self.init(zeros: contents.count, name: name)
        contents.withUnsafeBytes { UnsafeMutableRawBufferPointer(mutating: bytes).copyMemory(from: $0) }
    }

    /// Memory behind the same interface, `count` zeros, at least one. Whoever makes it may fill it before others see it.
    init(zeros count: Int, name: String) throws(EngineError) {
        path = name
        modified = 0
        bytes = try Self.map(count, descriptor: -1, flags: MAP_PRIVATE | MAP_ANONYMOUS, path: name)
    }

    /// Whether the bytes can be read from a file again.
    private var isFile: Bool { modified != 0 }

    /// Asks the system to read `part` of the bytes ahead of their use.
    package func prefetch(_ part: UnsafeRawBufferPointer) {
        advise(part, MADV_WILLNEED, isOutwards: true)
    }

    /// Gives back the memory that reading `part` of the bytes took; reading them again fetches them again.
    package func discard(_ part: UnsafeRawBufferPointer) {
        guard isFile else { return }  // the only copy
        advise(part, MADV_DONTNEED, isOutwards: false)
    }

    /// Only advice: everything works without it.
    private func advise(_ part: UnsafeRawBufferPointer, _ advice: Int32, isOutwards: Bool) {
        guard let base = bytes.baseAddress, let start = part.baseAddress else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = start - base
        let last = first + part.count
        let from = (isOutwards ? first : first + page - 1) / page * page
        let to = (isOutwards ? last + page - 1 : last) / page * page
        guard from < to else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + from), to - from, advice)
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }

    private static func map(
        _ count: Int, descriptor: Int32, flags: Int32, path: String
    ) throws(EngineError) -> UnsafeRawBufferPointer {
        let protection = descriptor < 0 ? PROT_READ | PROT_WRITE : PROT_READ
        let address = mmap(nil, count, protection, flags, descriptor, 0)
        guard let address, address != MAP_FAILED else {
            throw EngineError(.invalidModel, "\(path): cannot be mapped (\(count) bytes): \(message(errno))")
        }
        return UnsafeRawBufferPointer(start: address, count: count)
    }

    private static func message(_ code: Int32) -> String {
        strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }
}
