import LMSupport
import Testing

@Suite struct ProcessorTests {
    @Test(arguments: [
        ("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n", "max 100000\n", 8, 8),
        ("Cpus_allowed:\t00000000,00000101\n", "max 100000\n", 8, 2),
        ("Cpus_allowed:\tff\n", "150000 100000\n", 8, 2),
        ("Cpus_allowed:\tff\n", "5000 100000\n", 8, 1),
        ("Cpus_allowed:\tffffffff,ffffffff\n", "", 4, 4),
        ("", "", 0, 1), ("Cpus_allowed:\n", "1e300 1\n", 2, 2), ("", "-1 0\n", 2, 2),
    ])
    func countsWhatMayBeUsed(status: String, quota: String, online: Int, expected: Int) {
        #expect(availableProcessorCount(status: status, quota: quota, online: online) == expected)
    }
}
