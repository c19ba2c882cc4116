using System.Globalization;
using KantaGateway.Audit;

namespace KantaGateway.Keys.Custody;

/// <summary>The files of the register of people, <c>people-1</c> and on: the one that everybody is in, the next one while everybody is written anew, and what a kill left of those before.</summary>
/// <param name="copyFolder">With the same files; null: there is none.</param>
sealed class PeopleFiles(string folder, string? copyFolder, byte[] macKey)
{
    private const string Prefix = "people-";

    /// <summary>How a file of the register is named, for whoever has to look for one.</summary>
    public string Pattern => Path.Combine(folder, Prefix + "*");

    /// <summary>Numbers of those that there are, in either folder, in their order.</summary>
    public IReadOnlyList<int> Numbers => [.. Folders.SelectMany(NumbersIn).Distinct().Order()];

    /// <summary>A file is chained to its own number: an older one is no newer one by another name.</summary>
    public ChainedRecords Of(int number) => new(Path.Combine(folder, NameOf(number)), PersonRecords.Size, macKey, copyFolder is null ? null : Path.Combine(copyFolder, NameOf(number)), number - 1);

    /// <summary>Whether a file has the record that says that everybody is in it. That it is genuine is seen when it is opened.</summary>
    public bool IsWhole(int number) => Folders.Select(where => Path.Combine(where, NameOf(number))).Any(static file => RecordFile.Read(file, PersonRecords.Size).Any(static record => PersonRecords.KindIn(record) == PersonKind.Whole));

    /// <summary>Takes the files away that another one has taken the place of; they are gone from the disk when this returns.</summary>
    /// <exception cref="IOException">They may not be.</exception>
    public void Sweep(int before)
    {
        foreach (var where in Folders)
            foreach (var old in NumbersIn(where).Where(number => number < before).ToList())
            {
                var file = Path.Combine(where, NameOf(old));
                File.Delete(file);
                OwnerOnly.FlushFolder(file);
            }
    }

    private IEnumerable<string> Folders => copyFolder is null ? [folder] : [folder, copyFolder];

    private static string NameOf(int number) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{number}");

    private static IEnumerable<int> NumbersIn(string folder) => Directory.EnumerateFiles(folder, Prefix + "*").Select(static file => Path.GetFileName(file)[Prefix.Length..])
        .Where(static text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _)).Select(static text => int.Parse(text, CultureInfo.InvariantCulture));
}
