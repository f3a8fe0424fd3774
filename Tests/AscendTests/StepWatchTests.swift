import LMEngine
import Testing

@Suite("How long a step may take")
struct StepWatchTests {
    @Test("Two minutes at first, then twenty times the mean and at least ten seconds")
    func limits() {
        var watch = AscendStepWatch(AscendStepWatch.Limits())
        for _ in 0..<16 {
            #expect(watch.timeout == 120_000)
            watch.learn(milliseconds: 20)
        }
        #expect(watch.timeout == 10_000)
        for _ in 0..<100 { watch.learn(milliseconds: 2_000) }
        #expect((39_000...40_000).contains(watch.timeout))
        for _ in 0..<100 { watch.learn(milliseconds: 1e12) }
        #expect(watch.timeout == 120_000)
    }
}
