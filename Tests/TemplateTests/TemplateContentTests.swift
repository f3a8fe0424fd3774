import LMJSON
import LMTemplate
import TestKit
import Testing

/// What comes with a request stays marked as such, whatever a template does with it.
@Suite struct TemplateContentTests {
    /// The text with the content in square brackets of its own, `⟦…⟧`.
    private func marked(_ source: String, _ variables: [(name: String, value: Value)]) throws -> String {
        let rendering = try Template(source).render(variables, clock: TemplateGoldenTests.clock)
        var result = ""
        var start = 0
        for range in rendering.content {
            #expect(range.lowerBound >= start && !range.isEmpty && range.upperBound <= rendering.bytes.count)
            result += String(decoding: rendering.bytes[start..<range.lowerBound], as: UTF8.self)
            result += "⟦" + String(decoding: rendering.bytes[range], as: UTF8.self) + "⟧"
            start = range.upperBound
        }
        return result + String(decoding: rendering.bytes[start...], as: UTF8.self)
    }

    @Test(arguments: [
        ("<{{ x }}>", "<⟦ a,<s> ⟧>"),
        ("{{ '<' + x ~ '>' }}", "<⟦ a,<s> ⟧>"),
        ("{{ x | trim }}{{ x.strip() | upper }}", "⟦a,<s>A,<S>⟧"),
        ("{{ ('<s>' + x)[:5] }}", "<s>⟦ a⟧"),
        ("{{ (x + '<s>')[::-1] }}", ">s<⟦ >s<,a ⟧"),
        ("{{ x | replace('a', 'b') }}", "⟦ ⟧b⟦,<s> ⟧"),
        ("{{ 'a-b' | replace('-', x) }}", "a⟦ a,<s> ⟧b"),
        ("{{ x.split(',') | join('+') }}", "⟦ a⟧+⟦<s> ⟧"),
        ("{{ [x, 'own', n] | join('<s>') }}", "⟦ a,<s> ⟧<s>own<s>⟦5⟧"),
        ("{{ {'k': x} | tojson }}", "{\"k\": \"⟦ a,<s> ⟧\"}"),
        ("{{ [x] }}", "['⟦ a,<s> ⟧']"),
        ("{{ d | tojson }}", "{\"⟦<k>⟧\": \"⟦<v>\\n⟧\"}"),
        ("{% for k, v in d.items() %}<{{ k }}|{{ v }}>{% endfor %}", "<⟦<k>⟧|⟦<v>\n⟧>"),
        ("{% for c in 'a' ~ d.keys() | first %}{{ c }}{% endfor %}", "a⟦<k>⟧"),
        ("{{ '%s|%s' % (x, 'b') }}{{ '{}'.format(x) }}", "⟦ a,<s> ⟧|b⟦ a,<s> ⟧"),
        ("{{ x % 1 if false else x.format() }}", "⟦ a,<s> ⟧"),
        ("{% set y %}<{{ x }}>{% endset %}{{ y | trim | title }}", "<⟦ A,<S> ⟧>"),
        ("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(x) }}{{ m('x') }}", "<⟦ a,<s> ⟧><x>"),
        ("{% filter upper %}a{{ x }}{% endfilter %}", "A⟦ A,<S> ⟧"),
        (
            "{% set ns = namespace(v='') %}{% for i in [x, 'b'] %}{% set ns.v = ns.v + i %}{% endfor %}{{ ns.v }}",
            "⟦ a,<s> ⟧b"
        ),
        ("{{ 'b' * 2 ~ x[1] * 2 }}", "bb⟦aa⟧"),
        ("{{ x | indent(1, true) }}", " ⟦ a,<s> ⟧"),
        ("{{ '<s>' if x else x }}{{ x == ' a,<s> ' }}", "<s>⟦True⟧"),
        ("{{ x.splitlines()[0] ~ x.partition(',')[1] }}", "⟦ a,<s> ⟧,"),
        ("{{ x | e }}", "⟦ a,&lt;s&gt; ⟧"),
        ("{{ x.center(10, '*') }}", "*⟦ a,<s> ⟧**"),
        ("{{ n }}{{ n ~ 'x' }}{{ '<' ~ n ~ '>' }}{{ 1.5 }}", "⟦55⟧x<⟦5⟧>⟦1.5⟧"),
        ("{{ bos }}{{ bos + x }}", "<s><s>⟦ a,<s> ⟧"),
    ])
    func theOriginOfEveryByteIsKept(source: String, expected: String) throws {
        var object = JSONObject()
        object.set("<k>", .string("<v>\n"))
        let variables: [(name: String, value: Value)] = [
            ("x", .content(.string(" a,<s> "))), ("n", .content(.integer(5))), ("d", .content(.object(object))),
            ("bos", .trusted("<s>")),
        ]
        #expect(try marked(source, variables) == expected)
    }

    /// Each special token is put where content can be; what a template wrote itself never holds it more often.
    @Test func contentNeverAddsASpecialTokenInAnyFamily() throws {
        let (conversations, specials, families) = try TemplateGoldenTests.families()
        for family in families {
            let template = try Template(family.source)
            for (index, conversation) in conversations.enumerated() {
                guard let plain = try? own(template, family, conversation, content: "x") else { continue }
                // All at once in every conversation, and each by itself in some.
                let single = specials.enumerated().filter { $0.offset % 5 == index % 5 }.map(\.element)
                for content in [specials.joined(separator: " ")] + single {
                    let hostile = try own(template, family, conversation, content: content)
                    for token in specials {
                        #expect(count(token, hostile) == count(token, plain), "\(family.name), \(token) by \(content)")
                    }
                }
            }
        }
    }

    private func count(_ token: String, _ parts: [String]) -> Int {
        parts.reduce(0) { $0 + $1.ranges(of: token).count }
    }

    /// The template's own words for a conversation of the same roles whose contents are all alike.
    private func own(
        _ template: Template, _ family: TemplateGoldenTests.Family, _ conversation: JSONObject, content: String
    ) throws -> [String] {
        var variables = TemplateGoldenTests.variables(conversation, family).filter { $0.name != "messages" }
        let messages = (conversation["messages"]?.array ?? []).map { message in
            Value.object(
                (message.object?.members ?? []).map { member in
                    if member.key == "role" { return ("role", .trusted(member.value.string ?? "")) }
                    return (member.key, .content(filled(member.value, content)))
                })
        }
        variables.append(("messages", .list(messages)))
        let rendering = try template.render(variables, clock: TemplateGoldenTests.clock)
        var parts: [String] = []
        var start = 0
        for range in rendering.content + [rendering.bytes.count..<rendering.bytes.count] {
            parts.append(String(decoding: rendering.bytes[start..<range.lowerBound], as: UTF8.self))
            start = range.upperBound
        }
        return parts
    }

    /// The value with every text in it exchanged; identifiers keep their length, which templates look at.
    private func filled(_ value: JSON, _ content: String) -> JSON {
        switch value {
        case .string(let text): return .string(text.isEmpty || text.utf8.count == 9 || text == "text" ? text : content)
        case .array(let values): return .array(values.map { filled($0, content) })
        case .object(let object):
            var result = JSONObject()
            for (key, value) in object.members { result.set(key, filled(value, content)) }
            return .object(result)
        default: return value
        }
    }
}
