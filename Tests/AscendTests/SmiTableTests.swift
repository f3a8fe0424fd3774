import LMEngine
import Testing

@Suite("What npu-smi prints")
struct SmiTableTests {
    private static let training = """
        +------------------------------------------------------------------------------------------------+
        | npu-smi 24.1.0                   Version: 24.1.0                                               |
        +---------------------------+---------------+----------------------------------------------------+
        | NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
        | Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
        +===========================+===============+====================================================+
        | 2     910B3               | OK            | 92.9        43                0    / 0             |
        | 0                         | 0000:C1:00.0  | 17          0    / 0          3161 / 65536         |
        +===========================+===============+====================================================+
        | 5     910B3               | Alarm         | NA          51                0    / 0             |
        | 0                         | 0000:81:00.0  | 0           0    / 0          4    / 65536         |
        +===========================+===============+====================================================+
        +---------------------------+---------------+----------------------------------------------------+
        | NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
        +===========================+===============+====================================================+
        | 2       0                 | 4711          | lmserve                  | 3100                    |
        """

    private static let inference = """
        | NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
        | Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
        | 6       310P3                 | OK              | NA           50                0     / 0             |
        | 0       0                     | 0000:84:00.0    | 3            1839 / 21525                            |
        """

    @Test("Cards with memory of their own, in the order of the table")
    func cards() {
        let devices = AscendSmiTable(Self.training).devices
        #expect(devices.count == 2)
        var first = DeviceReadings()
        (first.memoryUsed, first.memoryTotal, first.cubeUtilization) = (3_161 << 20, 65_536 << 20, 17)
        (first.temperature, first.power, first.health) = (43, 92_900, 0)
        #expect(devices.first == first)
        #expect(devices.last?.power == nil && devices.last?.health == 2 && devices.last?.memoryUsed == 4 << 20)
    }

    @Test("Cards with one kind of memory")
    func inferenceCards() {
        let devices = AscendSmiTable(Self.inference).devices
        #expect(devices.count == 1 && devices[0].memoryUsed == 1_839 << 20 && devices[0].temperature == 50)
    }

    @Test(
        "What is not understood is absent, and nothing traps",
        arguments: [
            "", "|", "| 0 | OK | 1 2 |", "| 0 a | OK | 1 2 |\n| 0 | x | 9999999999999999999 / 1 |",
            "| 0 a | OK | 1e300 -4 |\n| 0 | x | 300 5 / 99999999999999 |", "| 0 | | |\n| 0 | | |", "no such command",
        ])
    func nonsense(_ text: String) {
        for device in AscendSmiTable(text).devices {
            #expect(device.memoryUsed == nil && device.memoryTotal == nil && device.cubeUtilization == nil)
            #expect(device.power == nil || device.power == 1_000)
        }
    }
}
