using System.Collections.Frozen;

namespace KantaGateway.Gateway.Identification.Professionals;

/// <summary>Task of a health care professional (työtehtävä): what the decree 457/2024 §3 distinguishes and §5-9 give access to.</summary>
public enum TaskClass
{
    /// <summary>§3 1), §5: organising and carrying out care broadly; all patient data that it needs.</summary>
    BroadCare,

    /// <summary>§3 2), §6: carrying out a limited part of care; what concerns the own profession, speciality or service, and the summary.</summary>
    LimitedCare,

    /// <summary>§3 3), §7: supporting care; bookings, requests, referrals and orders of the own task.</summary>
    Support,

    /// <summary>§3 4), §8: assessing, dispensing and advising on medicines; the summary, or the medication.</summary>
    Medication,

    /// <summary>§3 5), §9: patient administration; the provider's own data.</summary>
    Administration,
}

/// <summary>Which task a professional may have at most, and what that reaches.</summary>
/// <remarks>
/// The decree classes tasks and leaves it to the provider who has which; the profession bounds it. Which profession bounds what is
/// this gateway's reading of §3 with Act 559/1994 §2 and decree 564/1994 §1, in one table. A profession that is not in it has no task.
/// </remarks>
public static class TaskClasses
{
    private static readonly FrozenDictionary<string, TaskClass> OfProfession = new Dictionary<string, TaskClass>(StringComparer.Ordinal)
    {
        // Assess, diagnose, treat and refer.
        ["laakari"] = TaskClass.BroadCare,
        ["hammaslaakari"] = TaskClass.BroadCare,
        ["psykologi"] = TaskClass.BroadCare,
        ["psykoterapeutti"] = TaskClass.BroadCare,
        ["sairaanhoitaja"] = TaskClass.BroadCare,
        ["terveydenhoitaja"] = TaskClass.BroadCare,
        ["katilo"] = TaskClass.BroadCare,
        ["ensihoitaja"] = TaskClass.BroadCare,
        // Treat, rehabilitate or examine what a plan or a request says.
        ["fysioterapeutti"] = TaskClass.LimitedCare,
        ["toimintaterapeutti"] = TaskClass.LimitedCare,
        ["puheterapeutti"] = TaskClass.LimitedCare,
        ["ravitsemusterapeutti"] = TaskClass.LimitedCare,
        ["jalkaterapeutti"] = TaskClass.LimitedCare,
        ["laboratoriohoitaja"] = TaskClass.LimitedCare,
        ["rontgenhoitaja"] = TaskClass.LimitedCare,
        ["suuhygienisti"] = TaskClass.LimitedCare,
        ["optikko"] = TaskClass.LimitedCare,
        ["lahihoitaja"] = TaskClass.LimitedCare,
        ["perushoitaja"] = TaskClass.LimitedCare,
        ["hammashoitaja"] = TaskClass.LimitedCare,
        // Make what was ordered.
        ["hammasteknikko"] = TaskClass.Support,
        ["apuvalineteknikko"] = TaskClass.Support,
        ["proviisori"] = TaskClass.Medication,
        ["farmaseutti"] = TaskClass.Medication,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly FrozenDictionary<string, TaskClass> Names =
        Enum.GetValues<TaskClass>().ToFrozenDictionary(NameOf, StringComparer.Ordinal);

    /// <summary>What a professional may be given at most; null for a profession that is not known, and that gives nothing.</summary>
    /// <param name="profession">As the role register writes it: Finnish, lower case, without diacritics.</param>
    public static TaskClass? Of(string? profession) => profession is not null && OfProfession.TryGetValue(profession, out var tasks) ? tasks : null;

    /// <summary>The task that a provider states for a professional, where the profession permits it; null where it does not.</summary>
    /// <param name="stated">As tokens write it; null: the widest.</param>
    /// <remarks>Whoever cares broadly may be given any task for less; the others theirs, or administration, which needs no profession.</remarks>
    public static TaskClass? Narrow(TaskClass most, string? stated) =>
        stated is null ? most
            : !Names.TryGetValue(stated, out var task) ? null
            : task == most || task == TaskClass.Administration || most == TaskClass.BroadCare ? task
            : null;

    /// <summary>As tokens and the audit write it: <c>broad-care</c>.</summary>
    public static string NameOf(TaskClass tasks) => tasks switch
    {
        TaskClass.BroadCare => "broad-care",
        TaskClass.LimitedCare => "limited-care",
        TaskClass.Support => "support",
        TaskClass.Medication => "medication",
        TaskClass.Administration => "administration",
        _ => throw new ArgumentOutOfRangeException(nameof(tasks)),
    };

    /// <summary>Null when it is none.</summary>
    public static TaskClass? Read(string? name) => name is not null && Names.TryGetValue(name, out var tasks) ? tasks : null;
}
