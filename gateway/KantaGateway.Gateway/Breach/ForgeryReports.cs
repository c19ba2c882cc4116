using System.Globalization;

namespace KantaGateway.Gateway.Breach;

/// <summary>By what way a forged notice came.</summary>
public enum ForgeryWay { Email, TextMessage, Call, Letter, Other }

/// <summary>
/// Notices in the organisation's name that are none of it, as whoever received one reports them. Only what can be ticked is taken, so nothing personal can be in it. Each stands in the journal of the newest case
/// that is open, at most one line a minute with how many there were; where none is open it is an alarm. Thread-safe.
/// </summary>
public sealed partial class ForgeryReports(BreachCases cases, TimeProvider time, ILogger<ForgeryReports> logger)
{
    /// <summary>Between two lines: a journal that anybody can fill hides what is in it.</summary>
    public static readonly TimeSpan Between = TimeSpan.FromMinutes(1);

    private readonly Lock _counting = new();
    private DateTimeOffset _last = DateTimeOffset.MinValue;
    private int _waiting;

    /// <param name="asksMoney">Whether it asks for money.</param>
    /// <exception cref="IOException">It could not be written.</exception>
    public async Task ReportAsync(ForgeryWay way, bool asksMoney)
    {
        int count;
        lock (_counting)
        {
            _waiting++;
            if (time.GetUtcNow() - _last < Between)
                return;
            (_last, count, _waiting) = (time.GetUtcNow(), _waiting, 0);
        }
        LogReported(count, way, asksMoney);
        if (cases.All.LastOrDefault(one => cases.IsOpen(one.Number)) is { } open)
            await cases.AddStepAsync(open.Number, BreachStepKind.ForgeriesReported, "portal", note: string.Create(CultureInfo.InvariantCulture,
                $"{count} reported since the line before; the last came as {way}{(asksMoney ? " and asks for money" : "")}.")).ConfigureAwait(false);
    }

    [LoggerMessage(1, LogLevel.Critical, "ALARM: {Count} forged notices of a breach were reported; the last came as {Way}, asks for money: {AsksMoney}.")]
    private partial void LogReported(int count, ForgeryWay way, bool asksMoney);
}
