using System.Text;
using KantaGateway.Fhir.Hl7v2;

namespace KantaGateway.Tests.Fhir.Hl7v2;

/// <summary>A transmission is taken apart at MSH, and one that was cut off is refused as a whole.</summary>
public sealed class Hl7BatchTests
{
    private const string Header = @"BHS|^~\&|POTILAS|AURORA||||||||B-1", File = @"FHS|^~\&|POTILAS|AURORA";

    private static readonly string One = Encoding.UTF8.GetString(Sent.Arrival("1")), Two = Encoding.UTF8.GetString(Sent.Results("2"));

    public static TheoryData<string, int> Good => new()
    {
        { One, 1 }, { One + Two, 2 }, { $"{Header}\r{One}{Two}BTS|2\r", 2 }, { $"{File}\r{Header}\r{One}BTS|1\r{Header}\r{Two}BTS\rFTS|2\r", 2 },
        { $"{Header}\r\n{One.Replace("\r", "\r\n", StringComparison.Ordinal)}BTS|1\r\n", 1 }, { $"{Header}\rBTS|0\r", 0 },
    };

    [Theory, MemberData(nameof(Good))]
    public void Messages_come_out_as_they_went_in(string sent, int count)
    {
        var (batch, problem) = Hl7Batch.Read(Encoding.UTF8.GetBytes(sent));
        Assert.Null(problem);
        Assert.Equal(count, batch!.Messages.Count);
        Assert.All(batch.Messages, m => Assert.Contains(Encoding.UTF8.GetString(m.Span), sent));
        Assert.All(batch.Messages, m => Assert.NotNull(Hl7Message.Read(m)));
        var answer = Hl7Batch.Read(Hl7Acknowledgement.WriteBatch(batch, [.. batch.Messages.Select(m => Hl7Acknowledgement.Write(Hl7Message.Read(m), Hl7Answer.AA, [], "1", DateTimeOffset.UnixEpoch))], DateTimeOffset.UnixEpoch));
        Assert.Null(answer.Problem);
        Assert.Equal(count, answer.Batch!.Messages.Count);
    }

    public static TheoryData<string, string> Bad => new()
    {
        { "", "empty" }, { "Hei", "begins with" }, { $"{Header}\r{One}{Two}", "cut off" }, { $"{Header}\r{One}BTS|2\r", "BTS-1" }, { $"{File}\r{Header}\r{One}BTS|1\r", "cut off" },
        { $"{One}{Header}\r{Two}BTS|1\r", "BHS stands before" }, { $"{One}BTS|1\r", "no BHS" }, { $"{File}\r{Header}\r{One}BTS|1\rFTS|2\r", "FTS-1" }, { $"{Header}\r{One}BTS|1\r{Two}", "after BTS" },
        { string.Concat(Enumerable.Repeat("MSH|^~\\&\r", Hl7Batch.MaxMessages + 1)), "at most" },
    };

    [Theory, MemberData(nameof(Bad))]
    public void A_batch_that_is_not_whole_is_refused_as_a_whole(string sent, string problem)
    {
        var (batch, said) = Hl7Batch.Read(Encoding.UTF8.GetBytes(sent));
        Assert.Null(batch);
        Assert.Contains(problem, said);
    }
}
