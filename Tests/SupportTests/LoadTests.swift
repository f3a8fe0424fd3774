import LMSupport
import Testing

@Suite struct SampleSummaryTests {
    private let summary = SampleSummary([0.1, 2.5, 3.25, 7.125, 11.0, 0.7, 1e-3])

    /// Expected values are numpy 2's `percentile`, `mean`, `std` and `median` of the same samples.
    @Test(arguments: [
        (0.0, 0.001), (33.3, 0.6987999999999999), (50, 2.5), (90, 8.675), (99, 10.767499999999998),
        (99.9, 10.976750000000003), (100, 11.0),
    ])
    func percentilesEqualNumpy(percent: Double, expected: Double) {
        #expect(abs(summary.percentile(percent) - expected) <= 4 * expected.ulp)
    }

    @Test func momentsEqualNumpy() {
        #expect(abs(summary.mean - 3.5251428571428574) < 1e-15)
        #expect(abs(summary.standardDeviation - 3.818969585356442) < 1e-14)
        #expect(summary.median == 2.5)
        #expect(SampleSummary([4, 1]).median == 2.5)
    }

    @Test func noSamplesAreZeroAsInVLLM() {
        let empty = SampleSummary([])
        #expect(empty.mean == 0 && empty.median == 0 && empty.percentile(99) == 0 && empty.standardDeviation == 0)
    }
}

@Suite struct ArrivalTests {
    @Test(arguments: [0.5, 1, 4, .infinity])
    func lastArrivalIsAtCountOverRate(burstiness: Double) throws {
        var random = SeededRandom(seed: 7)
        let arrivals = ArrivalProcess(rate: 5, burstiness: burstiness).arrivals(count: 400, using: &random)
        #expect(arrivals == arrivals.sorted())
        #expect(abs(try #require(arrivals.last) - 80) < 1e-9)
    }

    /// The squared coefficient of variation of gamma gaps is 1 / shape.
    @Test(arguments: [0.5, 1.0, 4.0])
    func gapsVaryAsTheirShapeSays(burstiness: Double) {
        var random = SeededRandom(seed: 1)
        let arrivals = ArrivalProcess(rate: 1, burstiness: burstiness).arrivals(count: 20_000, using: &random)
        let gaps = SampleSummary(zip(arrivals.dropFirst(), arrivals).map { $0 - $1 })
        let variation = gaps.standardDeviation / gaps.mean
        #expect(abs(variation * variation * burstiness - 1) < 0.08)
    }

    @Test func infiniteRateIsAllAtOnceAndSeedsRepeat() {
        var random = SeededRandom(seed: 3)
        #expect(ArrivalProcess(rate: .infinity).arrivals(count: 3, using: &random) == [0, 0, 0])
        var first = SeededRandom(seed: 3)
        var second = SeededRandom(seed: 3)
        let process = ArrivalProcess(rate: 2)
        #expect(process.arrivals(count: 9, using: &first) == process.arrivals(count: 9, using: &second))
    }
}

@Suite struct RandomWorkloadTests {
    @Test func lengthsAndIdsStayInRange() {
        var random = SeededRandom(seed: 0)
        let workload = RandomWorkload(inputLength: 10, outputLength: 4, rangeRatio: 0.5, vocabularySize: 7)
        let requests = workload.requests(count: 500, using: &random)
        #expect(Set(requests.map(\.prompt.count)) == Set(5...15))
        #expect(Set(requests.map(\.outputLength)) == Set(2...6))
        #expect(Set(requests.flatMap(\.prompt)) == Set(0..<7))
    }

    @Test func withoutARangeLengthsAreExact() {
        var random = SeededRandom(seed: 0)
        let workload = RandomWorkload(inputLength: 3, outputLength: 1, rangeRatio: 0, vocabularySize: 100)
        #expect(workload.requests(count: 9, using: &random).allSatisfy { $0.prompt.count == 3 && $0.outputLength == 1 })
    }
}
