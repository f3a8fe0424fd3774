import LMEngine
import Testing

@Suite struct RotaryFrequencyTests {
    /// What `_compute_yarn_parameters` of transformers 5.23 returns for a head of 12, base 10,000, factor 4, original
    /// context 64, beta_fast 16, beta_slow 2.
    @Test(arguments: [(true, Float(0.134_652_15)), (false, Float(0.063_072_48))])
    func `yarn rounds its bounds or not`(rounds: Bool, second: Float) {
        let yarn = ModelConfiguration.Yarn(
            factor: 4, fastTurns: 16, slowTurns: 2, originalContext: 64, roundsBounds: rounds, magnitude: 1.5)
        let rotary = RotaryFrequencies(dimension: 12, base: 10_000, scaling: .yarn(yarn))
        let expected: [Float] = [1, second, 0.011_603_971, 0.0025, 0.000_538_608_6, 0.000_116_039_74]
        #expect(zip(rotary.frequencies(at: 3), expected).allSatisfy { abs($0 - $1) <= 1e-6 * $1 })
        #expect(rotary.magnitude == 1.5)
    }

    @Test func `scaling by position begins where the original context ends, whatever came before`() {
        let plain = RotaryFrequencies(dimension: 4, base: 10_000, scaling: .none).frequencies(at: 0)
        let dynamic = RotaryFrequencies(
            dimension: 4, base: 10_000, scaling: .dynamic(factor: 2, originalContext: 10))
        #expect(dynamic.frequencies(at: 9) == plain)
        #expect(dynamic.frequencies(at: 10)[1] < plain[1])
        #expect(dynamic.frequencies(at: 11)[1] < dynamic.frequencies(at: 10)[1])
        #expect(dynamic.frequencies(at: 9) == plain)
        let longrope = RotaryFrequencies(
            dimension: 4, base: 10_000,
            scaling: .longrope(short: [1, 1], long: [2, 4], originalContext: 10, magnitude: 1))
        #expect(longrope.frequencies(at: 9) == [1, 0.01])
        #expect(longrope.frequencies(at: 10) == [0.5, 0.0025])
    }
}
