import LMServer
import Testing

@Suite struct LimitKeyTests {
    @Test("every limit has a key")
    func complete() {
        #expect(Mirror(reflecting: ServerLimits()).children.count == ServerLimits.keys.count)
        #expect(Set(ServerLimits.keys.map(\.name)).count == ServerLimits.keys.count)
    }

    @Test("a key sets its own limit and no other", arguments: ServerLimits.keys.indices)
    func sets(_ index: Int) throws {
        let key = ServerLimits.keys[index]
        let value = key.unit.contains("/") ? "7.5/8.5" : "65537"
        var limits = ServerLimits()
        try limits.set("\(key.name)=\(value)")
        for other in ServerLimits.keys {
            let expected = other.name == key.name ? value : other.value(in: ServerLimits())
            #expect(other.value(in: limits) == expected, "\(other.name)")
        }
    }

    @Test("what is no value is refused, and named", arguments: ServerLimits.keys.map(\.name))
    func refuses(_ name: String) {
        for value in ["", "-1", "x", "99999999999999999999", "1e999/1", "0/1", "1/0", "1/2/3", "nan/1"] {
            var limits = ServerLimits()
            let error = #expect(throws: ServerError.self) { try limits.set("\(name)=\(value)") }
            #expect(error?.message.contains(name) == true)
        }
    }

    @Test(
        "an unknown key, and a text that is no assignment, say where to look", arguments: ["foo=1", "connections", ""])
    func unknown(_ text: String) {
        var limits = ServerLimits()
        let error = #expect(throws: ServerError.self) { try limits.set(text) }
        #expect(error?.message.contains("lmserve limits") == true)
    }
}
