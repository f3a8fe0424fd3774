import Glibc
import LMEngine
import TestKit
import Testing

@Suite struct MappedFileTests {
    @Test func `discarded bytes leave memory and can be read again`() throws {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let content = (0..<8 * page).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let folder = try TemporaryFolder()
        try folder.write("file", content)
        let file = try MappedFile(path: folder.path + "/file")
        #expect(file.bytes.elementsEqual(content))
        #expect(try mappedPages(file.bytes) == 8)
        file.discard(UnsafeRawBufferPointer(rebasing: file.bytes[1..<8 * page - 1]))
        #expect(try mappedPages(file.bytes) == 2, "the first and the last page are not whole")
        file.prefetch(UnsafeRawBufferPointer(rebasing: file.bytes[page + 1..<page + 2]))
        #expect(file.bytes.elementsEqual(content))
    }

    @Test func `bytes without a file stay when they are discarded`() throws {
        let content = [UInt8](repeating: 7, count: 1 << 16)
        let file = try MappedFile(contents: content, name: "memory")
        file.discard(file.bytes)
        #expect(file.bytes.elementsEqual(content))
    }
}

/// Pages that are in this process's memory now, by /proc/self/pagemap.
private func mappedPages(_ bytes: UnsafeRawBufferPointer) throws -> Int {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let first = Int(bitPattern: bytes.baseAddress) / page
    let descriptor = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var entries = [UInt64](repeating: 0, count: bytes.count / page)
    let count = pread(descriptor, &entries, entries.count * 8, off_t(first * 8))
    try #require(count == entries.count * 8)
    return entries.count { $0 >> 63 == 1 }
}
