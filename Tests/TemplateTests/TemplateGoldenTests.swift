import LMJSON
import LMTemplate
import TestKit
import Testing

@Suite struct TemplateGoldenTests {
    /// The clock of the goldens: Saturday, 7 March 2026, 15:04:05.
    static let clock = TemplateClock(secondsSince1970: 1_772_895_845)

    /// What a template writes; nil when it refuses.
    static func render(_ source: String, _ variables: [(name: String, value: Value)]) -> String? {
        do throws(TemplateError) {
            return String(decoding: try Template(source).render(variables, clock: clock).bytes, as: UTF8.self)
        } catch {
            return nil
        }
    }

    @Test func everyRuleOfTheLanguageEqualsTheReference() throws {
        let golden = try JSON(parsing: Golden.text("template_cases.json"))
        let data = try #require(golden["data"]?.object).members.map { (name: $0.key, value: Value.content($0.value)) }
        let cases = try #require(golden["cases"]?.array)
        #expect(cases.count > 700)
        for item in cases {
            let source = try #require(item["source"]?.string)
            let text = Self.render(source, data)
            #expect(text.map { Array($0.utf8) } == item["text"]?.string.map { Array($0.utf8) }, "\(source)")
        }
    }

    struct Family: CustomTestStringConvertible {
        var name: String
        var source: String
        var tokens: [(name: String, value: Value)]
        var texts: [JSON]
        var testDescription: String { name }
    }

    static func families() throws -> (conversations: [JSONObject], special: [String], families: [Family]) {
        let golden = try JSON(parsing: Golden.text("templates.json"))
        let families = try (golden["families"]?.array ?? []).map { family in
            let name = family["name"]?.string ?? ""
            return Family(
                name: name, source: try Golden.text("templates/\(name).jinja"),
                tokens: [
                    ("bos_token", .trusted(family["bos"]?.string ?? "")),
                    ("eos_token", .trusted(family["eos"]?.string ?? "")),
                ],
                texts: family["texts"]?.array ?? [])
        }
        let conversations = (golden["conversations"]?.array ?? []).compactMap(\.object)
        return (conversations, (golden["special"]?.array ?? []).compactMap(\.string), families)
    }

    static func variables(_ conversation: JSONObject, _ family: Family) -> [(name: String, value: Value)] {
        [("add_generation_prompt", .content(.bool(true))), ("tools", .content(.null)), ("documents", .content(.null))]
            + family.tokens + conversation.members.map { (name: $0.key, value: Value.content($0.value)) }
    }

    @Test func everyFamilyEqualsTheReference() throws {
        let (conversations, _, families) = try Self.families()
        #expect(families.count >= 20 && conversations.count >= 20)
        for family in families {
            #expect(family.texts.count == conversations.count)
            for (index, conversation) in conversations.enumerated() {
                let text = Self.render(family.source, Self.variables(conversation, family))
                #expect(text == family.texts[index].string, "\(family.name), conversation \(index)")
            }
        }
    }
}
