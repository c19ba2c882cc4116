namespace KantaGateway.Fhir.Transport;

/// <summary>How far a work is that goes on while requests do, as it is told to operators.</summary>
/// <param name="All">Of it, in whatever it is counted.</param>
/// <param name="Left">What is not done.</param>
/// <param name="PerSecond">Of this process, in the run that is on or was last; 0 before the first.</param>
public record WorkProgress(long All, long Left, double PerSecond)
{
    /// <summary>0 to 100, rounded down: 100 is all of it.</summary>
    public double Percent => All == 0 ? 100 : Math.Floor((All - Left) * 1000.0 / All) / 10;

    /// <summary>At that rate; null where it is not known.</summary>
    public double? SecondsLeft => Left == 0 ? 0 : PerSecond > 0 ? Left / PerSecond : null;

    /// <summary>What is done in a second; 0 where nothing was yet.</summary>
    public static double RateOf(long done, TimeSpan took) => took > TimeSpan.Zero ? done / took.TotalSeconds : 0;
}
