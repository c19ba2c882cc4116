using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Input that was not written here is stored as it says, or refused with the place of its fault.</summary>
/// <remarks>The samples lie beside the project and not in it; without them there is nothing to show.</remarks>
[Collection(SharedHostCollection.Name)]
public sealed class SampleTests(SharedHost host, ITestOutputHelper output)
{
    private static readonly string Samples = Path.GetFullPath(Path.Combine(Solution.Folder, "..", "shared", "samples"));

    [Fact]
    public async Task Every_sample_reads_back_as_it_was_or_is_refused_at_its_fault()
    {
        if (await LoadAsync(stubPatients: false) is not { } report)
            return;
        // Histories that are right in themselves are stored whole.
        Assert.DoesNotContain(report.Refused, u => u.Entries[0].Entry.File.Contains("synthea", StringComparison.Ordinal));
        Assert.Contains(report.Refused, u => u.Entries[0].Entry.File.EndsWith("patientesim1.json", StringComparison.Ordinal)
            && u.Issues.Any(i => i.Expression == "Patient.identifier[0].value"));
    }

    [Fact]
    public async Task Samples_whose_patients_are_made_up_read_back_as_they_were()
    {
        if (await LoadAsync(stubPatients: true) is not { } report)
            return;
        Assert.True(report.Stored.Count(e => e.Entry.File.EndsWith("diabetes-data-bundle.json", StringComparison.Ordinal)) > 900);
    }

    private async Task<LoadReport?> LoadAsync(bool stubPatients)
    {
        if (!Directory.Exists(Samples))
        {
            output.WriteLine("There are no samples beside the project.");
            return null;
        }
        using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
        var plan = LoadPlan.Of(SourceReader.Read(SourceReader.Expand([Samples])), stubPatients);
        Assert.Empty(plan.Unreadable);
        var report = await new Loader(clinic.System).LoadAsync(plan, check: true);
        output.WriteLine($"{report.Stored.Count()} stored, {report.Refused.Sum(u => u.Entries.Count)} refused in {report.Duration.TotalSeconds:0.0} s");
        foreach (var refused in report.Refused.GroupBy(u => string.Join("; ", u.Issues.Select(i => i.ToString()))))
            output.WriteLine($"{refused.Count()} x {refused.First().Status} {refused.First().Entries[0].Entry}: {refused.Key}");

        Assert.Equal([], report.Different.Select(e => $"{e.Entry}: {string.Join("; ", e.Differences)}"));
        Assert.All(report.Refused, u =>
        {
            Assert.InRange(u.Status, 400, 499);
            Assert.NotEmpty(u.Issues);
            Assert.All(u.Issues, i => Assert.False(string.IsNullOrEmpty(i.Expression) || string.IsNullOrEmpty(i.Diagnostics), $"{u.Entries[0].Entry}: {i}"));
        });
        return report;
    }
}
