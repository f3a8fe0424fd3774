import Glibc
import LMSupport
import Synchronization
import Testing

@Suite struct StreamTests {
    /// Not a pipe: only a socket pair can be kept from programs that other tests start at this moment.
    private func connectedPair() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    @Test func aLongWriteIsWholeAndAGoneReaderIsSaid() async throws {
        prepareProcess()
        let (reading, writing) = try connectedPair()
        let text = String(repeating: "0123456789", count: 30_000)
        let reader = Task.detached {
            var total = 0
            var chunk = [UInt8](repeating: 0, count: 4096)
            while total < text.utf8.count {
                let count = read(reading, &chunk, chunk.count)
                guard count > 0 else { break }
                total += count
            }
            return total
        }
        let stream = StandardStream(descriptor: writing)
        try stream.write(text)
        #expect(await reader.value == text.utf8.count)
        close(reading)
        #expect(throws: StandardStream.WriteError.brokenPipe) { try stream.write("x") }
        close(writing)
    }

    @Test func aStreamThatCannotBeWrittenSaysWhy() throws {
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let stream = StandardStream(descriptor: descriptor)
        #expect(throws: StandardStream.WriteError.system(EBADF)) { try stream.write("x") }
    }

    @Test func progressIsSilentWhereNoOneLooks() throws {
        let (reading, writing) = try connectedPair()
        let line = ProgressLine(on: StandardStream(descriptor: writing))
        line.show("50 %")
        line.clear()
        close(writing)
        var byte: UInt8 = 0
        #expect(read(reading, &byte, 1) == 0)
        close(reading)
    }
}
