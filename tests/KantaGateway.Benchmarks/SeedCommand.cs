using System.CommandLine;

namespace KantaGateway.Benchmarks;

/// <summary><c>seed</c>: makes the data that the other commands ask about, and says what that costs.</summary>
static class SeedCommand
{
    public static Command Create()
    {
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("seed.json") };
        var place = new Place();
        var command = new Command("seed", "Seeds what the other commands ask about, through the repository's own indexer, cipher and store") { json, place.Data, place.Patients, place.Resources };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var seeded = new List<SeededFolder> { await place.SeedAsync(parsed, cancel) };
            foreach (var (patients, sizes) in ScaleCommand.FoldersOf(parsed.GetValue(place.Patients)))
                seeded.Add(await place.SeedAsync(parsed, patients, sizes, cancel));
            var rows = seeded.Select(s => (IReadOnlyList<string>)
            [
                Place.DataOf(s), Measurement.Number(s.Seeding.Rows, "N0"), Measurement.Number(s.Seeding.Seconds, "0.0"), Measurement.Number(s.Seeding.Rows / s.Seeding.Seconds, "N0"),
                Measurement.Number(s.Seeding.Bytes / 1e9, "0.00"), Measurement.Number((double)s.Seeding.Bytes / s.Seeding.Rows, "0"),
            ]).ToList();
            return await new Report("seed", DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(seeded[0].Path), "Sealed rows put into the store without HTTP.",
                [new("Seeding", ["rows", "s", "rows/s", "GB on disk", "bytes a row"], rows)], [], []).PublishAsync(parsed.GetRequiredValue(json), cancel);
        });
        return command;
    }
}
