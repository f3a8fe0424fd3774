import LMJSON
import Testing

@Suite struct JSONTests {
    @Test func everyKindOfValueIsRead() throws {
        let text = #" {"a": [1, -2.5e3, 3.0, true, false, null], "b": {"c": "x"}} "#
        let value = try JSON(parsing: text)
        #expect(value["a"] == .array([.integer(1), .number(-2500), .number(3), .bool(true), .bool(false), .null]))
        #expect(value["b"]?["c"]?.string == "x")
        #expect(value["a"]?.array?[2].integer == 3)
        #expect(value["a"]?.array?[1].integer == -2500)
        #expect(value["z"] == nil && value.array == nil)
    }

    @Test func membersKeepTheirOrder() throws {
        let keys = (0..<100).map { "key\(($0 * 37) % 100)" }
        let value = try JSON(parsing: "{" + keys.map { "\"\($0)\": \"\($0)\"" }.joined(separator: ",") + "}")
        let object = try #require(value.object)
        #expect(object.keys == keys)
        for key in keys { #expect(object[key]?.string == key) }
    }

    @Test(arguments: [
        (#""\u00e9\ud83d\ude00\n\t\"\\\/\b\f\r""#, "é😀\n\t\"\\/\u{8}\u{c}\r"), (#""naïve 中文""#, "naïve 中文"),
        (#""""#, ""),
        (#""a\u0000b""#, "a\0b"),
    ])
    func stringsAreDecoded(text: String, expected: String) throws {
        #expect(try JSON(parsing: text).string == expected)
    }

    @Test(arguments: [
        "null", "true", "-7", "9223372036854775807", "0.1", "1e+300", "5e-324", #""""#, "[]", "{}",
        #"{"b":[1,2.5,{"a":null}],"a":"\"\\\u0000\u001f\u000a/é😀"}"#, "[[],[{}],false]",
    ])
    func aValueIsWrittenAsItWasRead(text: String) throws {
        #expect(try JSON(parsing: text).text == text)
    }

    @Test func keysAreToldApartByTheirCodePoints() throws {
        for others in [0, 20] {
            let more = (0..<others).map { "\"\($0)\": 0," }.joined()
            let value = try JSON(parsing: "{\(more) \"\u{e9}\": 1, \"e\u{301}\": 2}")
            #expect(value["\u{e9}"] == .integer(1) && value["e\u{301}"] == .integer(2))
        }
    }

    @Test func integersBeyond64BitsBecomeDoubles() throws {
        #expect(try JSON(parsing: "9223372036854775807").integer == Int.max)
        #expect(try JSON(parsing: "9223372036854775808") == .number(9_223_372_036_854_775_808))
        #expect(try JSON(parsing: "-0") == .integer(0))
        #expect(try JSON(parsing: "1.5").integer == nil)
    }

    @Test(arguments: [
        ("", 0), ("  ", 2), ("{", 1), ("[1,]", 3), ("[1 2]", 3), (#"{"a":1,"a":2}"#, 7), (#"{"a" 1}"#, 5), ("{a:1}", 1),
        ("01", 1), ("1.", 2), ("-", 1), ("1e", 2), ("1e999", 0), ("nul", 0), ("truex", 4), (#""\ud800""#, 1),
        (#""\ud800\u0041""#, 1), (#""\udc00""#, 1), (#""\x""#, 1), (#""\u12g4""#, 5), ("\"a\u{1}\"", 2), (#""abc"#, 0),
        ("\u{FEFF}1", 0), ("NaN", 0), ("'a'", 0), ("[1]]", 3), ("+1", 0), (".5", 0), ("[\"\\", 3),
    ])
    func whatIsWrongIsToldByItsOffset(text: String, offset: Int) throws {
        let error = #expect(throws: JSONError.self) { try JSON(parsing: text) }
        #expect(error?.offset == offset, "\(error?.description ?? "")")
    }

    @Test func invalidUTF8IsRefused() {
        let bytes: [UInt8] = [0x22, 0xC3, 0x28, 0x22]
        #expect(throws: JSONError.self) { try bytes.withUnsafeBytes { try JSON(parsing: $0) } }
    }

    @Test func depthAndNumberOfValuesAreLimited() throws {
        let deep = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
        #expect(throws: JSONError.self) { try JSON(parsing: deep) }
        #expect(try JSON(parsing: String(deep.dropFirst().dropLast())).array?.count == 1)
        var limits = JSON.Limits()
        limits.values = 3
        #expect(try JSON(parsing: "[1,2]", limits: limits).array?.count == 2)
        #expect(throws: JSONError.self) { try JSON(parsing: "[1,2,3]", limits: limits) }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
    }

    @Test func setReplacesOrAppends() {
        var object = JSONObject()
        for index in 0..<20 { object.set("k\(index % 10)", .integer(Int64(index))) }
        #expect(object.count == 10 && object["k3"] == .integer(13))
    }
}
