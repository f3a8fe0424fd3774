import LMJSON
import LMTemplate
import TestKit
import Testing

/// Templates come with models and values with requests: neither may take more than its budget, nor stop the process.
@Suite struct TemplateLimitTests {
    private func failure(_ source: String, _ variables: [(name: String, value: Value)] = []) -> TemplateError? {
        do throws(TemplateError) {
            _ = try Template(source).render(variables, clock: TemplateGoldenTests.clock)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        "{{ 'x' * 10 ** 9 }}",
        "{{ 'x' * 9223372036854775807 }}",
        "{{ [1] * 10 ** 9 }}",
        "{{ [1, 2] * 9223372036854775807 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(100000) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x' * 1000) %}{% for i in range(100000) %}{% set ns.s = ns.s ~ 'y' %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}",
        "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}",
        "{% set ns = namespace(l={}) %}{% for i in range(100000) %}{% set ns.l = {'a': ns.l} %}{% endfor %}",
        "{% set ns = namespace(l=['x']) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}",
        "{% set ns = namespace(l=['x']) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=['x'], m=['x']) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
        "{% set ns = namespace() %}{% for i in range(100000) %}{% set ns.a = namespace(a=ns) %}{% set ns = ns.a %}{% endfor %}{% for a in range(100000) %}{{ a }}{{ a }}{{ a }}{{ a }}{% endfor %}",
        "{% set ns = namespace(l=0) %}{% for i in range(100000) %}{% for j in [ns.l] %}{% set ns.l = loop %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(l='x') %}{% for i in range(100000) %}{% set ns.l = [ns.l].count %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}x{% endfor %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(x) %}{{ f(x + x) }}{% endmacro %}{{ f('abc') }}",
        "{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}",
        "{% macro f() %}{% call g() %}{{ f() }}{% endcall %}{% endmacro %}{% macro g() %}{{ caller() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(30) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set a = 'a' * 1000000 %}{% set b = 'a' * 500000 ~ 'b' %}{% for i in range(1000) %}{{ b in a }}{% endfor %}",
        "{% set a = 'a' * 300000 %}{{ a.replace('a', a) }}",
        "{% set a = 'a' * 1000000 %}{{ a.split('a') | length }}",
        "{% set a = 'a' * 2000000 %}{% for c in a %}{% endfor %}",
        "{{ '%0999s' * 10000 % 1 }}",
        "{{ ('%9999s' * 1000) % (range(1000) | list) }}",
        "{{ 'a' | indent(10 ** 9) }}",
        "{{ [1] | batch(10 ** 12, 'x') | list }}",
        "{{ 'a'.center(10 ** 12) }}",
        "{{ [[1, 2]] | tojson(indent=10 ** 9) }}",
        "{% set l = range(100000) | list %}{% for x in l %}{{ l | sort | length }}{% endfor %}",
        "{% set l = range(100000) | list %}{% for x in l %}{{ x in l }}{% endfor %}",
        "{% set l = range(100000) | list %}{% for x in l %}{{ l == l }}{% endfor %}",
        "{% set l = range(100000) | list %}{% for x in l %}{{ l[1:] }}{% endfor %}",
        "{% for i in range(100000) %}{% macro m() %}{% endmacro %}{% set a = dict(a=1, b=2, c=3) %}{% endfor %}",
        "{% for i in range(100000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
        "{{ 'x' * 4000000 }}{{ 'x' * 2000000 }}",
    ])
    func aBombEndsWithinItsBudget(source: String) throws {
        let error = try #require(failure(source), "\(source)")
        #expect(error.kind == .limit || error.kind == .evaluation, "\(error)")
        #expect(error.line == 1)
    }

    /// The limits hold for the steps and bytes that are counted, and what is counted is of the order of what is used.
    @Test func whatIsCountedGrowsWithTheWork() throws {
        func rendering(_ source: String) throws -> Template.Rendering {
            try Template(source).render([], clock: TemplateGoldenTests.clock)
        }
        let loop = try rendering("{% for i in range(1000) %}{{ i }}{% endfor %}")
        #expect((3_000...20_000).contains(loop.steps))
        #expect(try rendering("{% for i in range(2000) %}{{ i }}{% endfor %}").steps > 2 * loop.steps - 100)
        let text = try rendering("{{ 'x' * 1000000 }}")
        #expect((2_000_000...3_000_000).contains(text.memory))
        #expect(text.bytes.count == 1_000_000)
    }

    @Test func aLongConversationFitsWhateverItsFamilyCopies() throws {
        let (_, _, families) = try TemplateGoldenTests.families()
        let messages = (0..<1000).map { index -> JSON in
            var message = JSONObject()
            message.set("role", .string(index % 2 == 0 ? "user" : "assistant"))
            message.set("content", .string(String(repeating: "text ", count: 200)))
            return .object(message)
        }
        for family in families {
            let tools: Value = family.name == "hermes-tools" ? .list([]) : .none
            let variables: [(name: String, value: Value)] =
                [
                    ("messages", .content(.array(messages))), ("add_generation_prompt", .content(.bool(true))),
                    ("tools", tools),
                ]
                + family.tokens
            let rendering = try Template(family.source).render(variables, clock: TemplateGoldenTests.clock)
            #expect(rendering.bytes.count > 1_000_000, "\(family.name)")
        }
    }

    @Test(arguments: [
        String(repeating: "(", count: 100_000), "{{ " + String(repeating: "(", count: 100_000),
        "{{ " + String(repeating: "[", count: 50_000) + String(repeating: "]", count: 50_000) + " }}",
        "{{ " + String(repeating: "not ", count: 50_000) + "x }}",
        "{{ " + String(repeating: "-", count: 50_000) + "1 }}",
        "{{ 1" + String(repeating: " + 1", count: 50_000) + " }}",
        "{{ x" + String(repeating: ".x", count: 50_000) + " }}",
        "{{ x" + String(repeating: "[0]", count: 50_000) + " }}",
        "{{ x" + String(repeating: "()", count: 50_000) + " }}",
        "{{ x" + String(repeating: "|f", count: 50_000) + " }}",
        "{{ x" + String(repeating: " is f", count: 30_000) + " }}",
        "{{ 1" + String(repeating: " if 1 else 1", count: 10_000) + " }}",
        "{{ 1" + String(repeating: " ** 1", count: 30_000) + " }}",
        "{{ 1" + String(repeating: " or 1", count: 30_000) + " }}",
        String(repeating: "{% if 1 %}", count: 20_000), String(repeating: "{% for x in y %}", count: 10_000),
        String(repeating: "{% set x %}", count: 10_000), String(repeating: "{% macro m() %}", count: 10_000),
        "{% set " + String(repeating: "(", count: 50_000) + "a = 1 %}", String(repeating: "x", count: 1 << 20),
        String(repeating: "{{", count: 100_000), String(repeating: "{#", count: 100_000),
        String(repeating: "{% raw %}", count: 20_000),
    ])
    func hostileSourcesAreRefused(source: String) {
        if let error = failure(source) {
            #expect(error.kind == .limit || error.kind == .syntax, "\(error)")
        } else {
            #expect(!source.contains("{"))
        }
    }

    /// Mutations of real templates: whatever they are, they end with a text or an error.
    @Test(arguments: 0..<8)
    func noSourceStopsTheProcess(seed: Int) throws {
        let (conversations, _, families) = try TemplateGoldenTests.families()
        let cases =
            try JSON(parsing: Golden.text("template_cases.json"))["cases"]?.array?.compactMap { $0["source"]?.string }
            ?? []
        var random = TestRandom(seed: UInt64(seed))
        var refused = 0
        for _ in 0..<250 {
            let family = families[random.below(families.count)]
            var source = Array((random.below(2) == 0 ? family.source : cases[random.below(cases.count)]).utf8)
            for _ in 0...random.below(6) { mutate(&source, cases, &random) }
            let conversation = conversations[random.below(conversations.count)]
            var variables = TemplateGoldenTests.variables(conversation, family)
            variables.append(("n", .content(.integer(Int64.max - Int64(random.below(3))))))
            variables.append(("s", .content(.string("a\u{301}🌍\u{0}<|im_end|>"))))
            variables.append(
                ("f", .content(.number([Double.greatestFiniteMagnitude, -0.0, 1e-300, 1e18][random.below(4)]))))
            if failure(String(decoding: source, as: UTF8.self), variables) != nil { refused += 1 }
        }
        #expect((1..<250).contains(refused))
    }

    private static let pieces = [
        "{{", "}}", "{%", "%}", "-", "~", "|", "[::-1]", "[-1]", "[9223372036854775807:]", "[:-9223372036854775807]",
        "[::9223372036854775807]", " * 9223372036854775807", " // 0", " % 0", " ** 99", " ** -1", " is ", " in ",
        " not ", "(", ")",
        "[", "]", "{", "}", "messages", "loop.cycle()", "loop.nextitem", "| int", "| round(2)", "| tojson(indent=-1)",
        "| list",
        "| first", "| sort", "| batch(3, none)", ".split(none, 0)", ".rsplit('a', 1)", ".format(1, a=2)", " % (1, 2)",
        ".center(9)",
        "| abs", "| replace('', 'x')", "| indent(-1)", "'\\ud800'", "'\\x'", "0x", "1e999", "1_",
        "| selectattr('a.b.0')",
        "{% set messages = messages[::-1] %}", "{% for a, b in messages %}", "{% endfor %}", "{% break %}", "n", "s",
        "f", "-n", "n + 1",
        "n * n", "-n - 3", "n // -1", "(-n - 1) // -1", "(-n - 2) % -1", "| dictsort", "| unique", "range(n)",
        "range(-n, n, n)",
        "s[1:2]", "s[::2]", "s.find('🌍')", "f | int", "f | string", "f * f", "f // 3", "'%d' % f", "'%.15f' % f",
        "'%s'", "\u{301}", "\r",
    ]

    private func mutate(_ source: inout [UInt8], _ cases: [String], _ random: inout TestRandom) {
        let place = random.below(source.count + 1)
        switch random.below(4) {
        case 0 where place < source.count: source.remove(at: place)
        case 1 where place < source.count: source.removeSubrange(place..<min(source.count, place + random.below(40)))
        case 2:
            let other = Array(cases[random.below(cases.count)].utf8)
            let start = random.below(other.count)
            source.insert(contentsOf: other[start..<min(other.count, start + random.below(20))], at: place)
        default: source.insert(contentsOf: Array(Self.pieces[random.below(Self.pieces.count)].utf8), at: place)
        }
    }

    /// Every piece by itself too, on every kind of value.
    @Test func noExpressionStopsTheProcess() {
        for value in [
            "n", "s", "f", "[n, s]", "{'a': n}", "none", "missing", "true", "(n,)", "range", "namespace(a=1)", "'' ",
            "[]",
        ] {
            for piece in Self.pieces {
                for other in Self.pieces.prefix(12) {
                    let variables: [(name: String, value: Value)] = [
                        ("n", .content(.integer(.max))), ("s", .content(.string("a🌍"))),
                        ("f", .content(.number(1e300))),
                    ]
                    _ = failure("{{ \(value)\(piece)\(other) }}", variables)
                }
            }
        }
    }

    @Test func errorsSayWhereWhatAndWhatToDo() throws {
        let undefined = try #require(failure("a\n{{ 1 }}\n{{ x.y }}"))
        #expect(undefined == failure("\n\n{{ x.y }}"))
        #expect(undefined.kind == .evaluation && undefined.line == 3)
        #expect(undefined.description == "line 3 of the chat template: 'x' is undefined")
        let open = try #require(failure("a\n{% if x %}\nb"))
        #expect(open.kind == .syntax && open.line == 2 && open.message.contains("endif"))
        let unknown = try #require(failure("{% include 'x' %}"))
        #expect(unknown.kind == .syntax && unknown.message.contains("'include' is not supported"))
        let raised = try #require(failure("\n{{ raise_exception('no ' ~ 1) }}"))
        #expect(raised.kind == .raised && raised.line == 2 && raised.message == "no 1")
    }
}
